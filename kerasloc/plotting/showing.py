"""The figure that a notebook's cell ends with: images, maps over them, boxes."""

import typing
from collections.abc import Mapping

import numpy as np

from kerasloc.plotting.canvas import new_figure
from kerasloc.plotting.overlays import BOX_COLOR, as_rgb, overlay, overlay_image
from kerasloc.postprocess.normalize import is_flat, min_max

LARGE, SMALL, LOWEST = 3.6, 2.2, 0.8  # inches: longer side of a picture, any side
FEW, ACROSS, MOST = 3, 6, 120  # pictures: that are large, beside each other, in all
GAP, MARGIN = 0.12, 0.15  # inches
INK, SOFT = "#2b2b33", "#6b6b76"


class _Layer(typing.NamedTuple):
    """One map per image; `index` is that of its class, `raw` of another range."""

    name: str
    maps: np.ndarray  # (n, rows, cols)
    raw: bool
    index: int | None = None


class _Panel(typing.NamedTuple):
    """One picture, with what stands over it and in it."""

    title: str
    picture: np.ndarray
    boxes: np.ndarray
    note: str = ""
    texts: tuple = ()


def show(image, maps=None, boxes=None, *, classes=None, alpha: float = 0.5):
    """Figure of an image, of every map over it, and of boxes; or of several images.

    Maps that lie in [0, 1] are shown as they are. Where an array of them does not, each
    is scaled by its own minimum and maximum, which then stand over it; a flat one
    becomes 0. All boxes are on the image itself, with class and score where they have
    them; maps of classes show those of their own class, other maps all of them.

    Args:
        image: (rows, cols) or (rows, cols, 1 or 3), or a batch (n, rows, cols, 1 or 3);
            uint8, uint16 or float in [0, 1].
        maps: (rows, cols), (rows, cols, classes) or a dict of names and maps (rows,
            cols); for a batch the same with n in front. Of any size. For one image an
            array of three axes of which the first is 1 long is one map.
        boxes: Rows x, y, w, h[, class[, score]] in pixels of the image; for a batch a
            list of them, one array an image, or a table's rows image, x, y, w, h,
            class. A batch of one is taken as one image.
        classes: Names: of the last axis of the maps, and of the boxes' classes.
        alpha: Weight of the maps, [0, 1].

    Returns:
        The matplotlib Figure. It is not registered with pyplot: nothing to close.

    Raises:
        TypeError: If the image is of another type.
        ValueError: If shapes do not fit each other, a value does not, or there are more
            than 120 pictures.
    """
    pictures, names = _pictures(image), _names(classes)
    layers = _layers(maps, pictures, names)
    rows = [_checked(one, names) for one in _by_image(boxes, len(pictures))]
    count = 1 + len(layers)
    if len(pictures) * count > MOST:
        raise ValueError(
            f"A figure shows at most {MOST} pictures. Received: {len(pictures)} images "
            f"of {count} pictures each. Pass some of the images, image[:5], or of the "
            "classes, the last axis of the maps."
        )
    grid = _grid(pictures[0].shape, (len(pictures), count), any(o.raw for o in layers))
    figure = new_figure(figsize=grid.size, facecolor="white")
    for number, picture in enumerate(pictures):
        title = "image" if len(pictures) == 1 else f"image {number}"
        own = rows[number]
        plain = _Panel(title, picture, own, texts=_texts(own, names))
        over = [_over(layer, number, plain, alpha) for layer in layers]
        for place, panel in enumerate((plain, *over)):
            _draw(figure, grid, grid.box(number, place), panel)
    return figure


def _pictures(image) -> list[np.ndarray]:
    """Every image (rows, cols, 3)."""
    pixels = np.asarray(image)
    batch = pixels if pixels.ndim == 4 else pixels[None]
    gray = pixels.ndim == 3 and pixels.shape[-1] not in (1, 3) and len(pixels) > 1
    if not pixels.size or gray:
        raise ValueError(
            "Shown is an image, (rows, cols) or (rows, cols, 1 or 3), or a batch of "
            f"them with all three axes. Received: shape {pixels.shape}. Pass gray "
            "images as images[..., None]."
        )
    return [as_rgb(one) for one in batch]


def _names(classes) -> tuple[str, ...] | None:
    if classes is None:
        return None
    return (classes,) if isinstance(classes, str) else tuple(map(str, classes))


def _layers(maps, pictures, names) -> list[_Layer]:
    """What is shown over the images."""
    if maps is None:
        return []
    if isinstance(maps, Mapping):
        named = [(str(name), _stacked(one, pictures)) for name, one in maps.items()]
        for name, stack in named:
            if stack.shape[-1] != 1:
                raise ValueError(
                    "A name in a dict of maps has one map per image. Received: "
                    f"{name!r} of shape {np.shape(maps[name])} for {len(pictures)} "
                    "images. Choose a class, maps[..., 0], or pass that array alone."
                )
        return [_Layer(name, stack[..., 0], _is_raw(stack)) for name, stack in named]
    stack = _stacked(maps, pictures)
    raw, count = _is_raw(stack), stack.shape[-1]
    if count == 1:
        name = names[0] if names is not None and len(names) == 1 else "map"
        return [_Layer(name, stack[..., 0], raw)]
    names = [f"class {index}" for index in range(count)] if names is None else names
    if len(names) != count:
        raise ValueError(
            "There is one class name per class of the maps, their last axis. Received: "
            f"{len(names)} names and maps of shape {np.shape(maps)}. Pass the names of "
            "these classes, or maps of one class (rows, cols)."
        )
    return [_Layer(n, stack[..., i], raw, i) for i, n in enumerate(names)]


def _stacked(maps, pictures) -> np.ndarray:
    """Finite maps (n, rows, cols, classes), one class where there is no such axis."""
    stack, count, size = np.asarray(maps, float), len(pictures), pictures[0].shape[:2]
    shape = stack.shape or (0,)
    if count == 1 and (stack.ndim == 2 or (stack.ndim == 3 and shape[0] > 1)):
        stack = stack[None]
    first = count == 1 < shape[0] and shape[1:] == size != shape[:2]
    stack = stack[..., None] if stack.ndim == 3 else stack
    if stack.ndim != 4 or len(stack) != count or not stack.size or first:
        form = "(rows, cols[, classes])"
        form = form if count == 1 else f"({count}, {form[1:]}"
        raise ValueError(
            f"Maps of {count} image{'s' * (count > 1)} are {form}. Received: shape "
            f"{shape} for images of {size[0]} x {size[1]}. Pass a map for every image, "
            "classes last; maps of several methods as a dict of names and maps."
        )
    if not np.isfinite(stack).all():
        bad = np.count_nonzero(~np.isfinite(stack))
        raise ValueError(
            f"Maps hold finite numbers. Received: {bad} NaN or infinite values. "
            "np.nan_to_num makes them 0."
        )
    return stack


def _is_raw(stack) -> bool:
    return bool(stack.min() < 0 or stack.max() > 1)


def _by_image(boxes, count: int) -> list:
    """The boxes of every image, unchecked."""
    if boxes is None or not len(boxes):
        return [()] * count
    if any(np.ndim(one) == 2 for one in boxes):  # an array an image
        if len(boxes) == count:
            return list(boxes)
        raise ValueError(
            "There is one array of boxes per image. Received: "
            f"{len(boxes)} arrays for {count} images. Pass an empty one, or (), where "
            "an image has no box."
        )
    if count == 1:
        return [boxes]
    rows = np.asarray(boxes, float)
    images = rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 6 else None
    if images is None and rows.size:
        raise ValueError(
            "Boxes of several images are rows image, x, y, w, h, class, or a list of "
            f"one array an image. Received: shape {rows.shape} for {count} images. "
            "Pass a list."
        )
    if images is not None and not np.isin(images, range(count)).all():
        raise ValueError(
            f"The image of a box is an index from 0 to {count - 1}. Received: "
            f"{images[~np.isin(images, range(count))][0]:g}. Take the subset of the "
            "table that is shown."
        )
    return [() if images is None else rows[images == n, 1:] for n in range(count)]


def _checked(boxes, names) -> np.ndarray:
    """Rows x, y, w, h[, class[, score]] of one image."""
    rows = np.asarray(boxes, float)
    if not rows.size:
        return np.zeros((0, 4))
    if rows.ndim != 2 or not 4 <= rows.shape[1] <= 6 or not np.isfinite(rows).all():
        raise ValueError(
            "Boxes of an image are rows x, y, w, h[, class[, score]], finite numbers. "
            f"Received: shape {rows.shape}, {np.count_nonzero(~np.isfinite(rows))} NaN "
            "or infinite values. Pass one row a box."
        )
    index, most = rows[:, 4:5], np.inf if names is None else len(names)
    wrong = index[(index % 1 != 0) | (index < 0) | (index >= most)]
    if wrong.size:
        raise ValueError(
            "The class of a box is an index"
            + ("" if names is None else f" of the {most} class names")
            + f", from 0. Received: {wrong[0]:g}. Pass boxes[:, :4] for boxes alone."
        )
    return rows


def _texts(boxes, names) -> tuple[str, ...]:
    """Class and score of every box that has them."""
    texts = []
    for index, *score in boxes[:, 4:] if boxes.shape[1] > 4 else ():
        name = f"class {index:.0f}" if names is None else names[int(index)]
        texts.append(" ".join([name, *(f"{one:.2f}" for one in score)]))
    return tuple(texts)


def _over(layer: _Layer, number: int, plain: _Panel, alpha: float) -> _Panel:
    """The picture with the map of a layer over it."""
    heat, note, boxes = layer.maps[number], "", plain.boxes
    if layer.raw:
        note, heat = _extent(heat), min_max(heat)
    if layer.index is not None and boxes.shape[1] > 4:
        boxes = boxes[boxes[:, 4] == layer.index]
    picture = overlay_image(plain.picture, heat, alpha).clip(0, 1)  # of rounding
    return _Panel(layer.name, picture, boxes, note)


def _extent(heat) -> str:
    """Lowest and highest value, in words."""
    low, high = heat.min(), heat.max()
    if is_flat(heat):
        return f"flat: {low:.3g}"
    ends = (0 if abs(end) < (high - low) / 1000 else end for end in (low, high))
    return " to ".join(f"{end:.3g}" for end in ends)


class _Grid(typing.NamedTuple):
    """Where pictures are, inches; those of an image take some lines."""

    columns: int
    lines: int
    picture: tuple[float, float]  # width, height
    head: float
    size: tuple[float, float]

    def box(self, number: int, place: int) -> tuple[float, float, float, float]:
        """Left, bottom, width and height of a picture, as shares of the figure."""
        down, across = divmod(place, self.columns)
        (width, height), (wide, tall) = self.picture, self.size
        line = number * self.lines + down
        left = MARGIN + across * (width + GAP)
        top = tall - MARGIN - line * (self.head + height + GAP) - self.head
        return left / wide, (top - height) / tall, width / wide, height / tall


def _grid(shape, counts, notes: bool) -> _Grid:
    """The grid of so many images, of so many pictures each, of one shape."""
    images, each = counts
    lines = -(-each // ACROSS)
    columns = -(-each // lines)
    longer = LARGE if images * each <= FEW else SMALL
    height, width = (max(LOWEST, longer * side / max(shape[:2])) for side in shape[:2])
    head = 0.4 if notes else 0.26
    wide = 2 * MARGIN + columns * (width + GAP) - GAP
    tall = 2 * MARGIN + images * lines * (head + height + GAP) - GAP
    return _Grid(columns, lines, (width, height), head, (wide, tall))


def _draw(figure, grid: _Grid, place, panel: _Panel):
    """A picture with its boxes; title and note over it."""
    ax = figure.add_axes(place, anchor="NW")
    nothing = np.zeros((1, 1))  # the picture has its map
    overlay(panel.picture, nothing, alpha=0, boxes=panel.boxes, ax=ax)
    above = {"xycoords": "axes fraction", "textcoords": "offset points"}
    above["parse_math"] = False
    title = _shortened(panel.title, grid.picture[0])
    bold = {"size": 9.5, "weight": "bold", "color": INK}
    ax.annotate(title, (0, 1), (0, 15 if panel.note else 4), **above, **bold)
    ax.annotate(panel.note, (0, 1), (0, 4), **above, size=7.5, color=SOFT)
    for (x, y, w, h, *_), text in zip(panel.boxes, panel.texts, strict=False):
        _label(ax, (x, y, w, h), text, panel.picture.shape)


def _label(ax, box, text: str, shape):
    """A text at the upper edge of a box: over it, or in it at the image's edge."""
    x, y, w, _ = box
    rows, cols = shape[:2]
    right, inside = x > 0.6 * cols, y < 0.12 * rows
    where = np.clip(x + w if right else x, 0, cols) - 0.5, np.clip(y, 0, rows) - 0.5
    style = {"ha": "right" if right else "left", "va": "top" if inside else "bottom"}
    back = {"facecolor": BOX_COLOR, "edgecolor": "none", "pad": 1.2}
    offset = (-1 if right else 1), (-2 if inside else 1.5)
    ax.annotate(
        text,
        where,
        offset,
        textcoords="offset points",
        annotation_clip=False,
        parse_math=False,
        size=7.5,
        color=INK,
        bbox=back,
        **style,
    )


def _shortened(text: str, inches: float) -> str:
    """As much of a text as a picture is wide."""
    most = max(8, int(12.5 * inches))
    return text if len(text) <= most else text[: most - 3] + "..."
