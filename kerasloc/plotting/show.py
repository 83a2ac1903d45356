"""Figure for the end of a notebook's cell: images, maps over them, boxes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasloc.boxes import as_rows
from kerasloc.io import printable
from kerasloc.maps import is_flat, scale_to_unit
from kerasloc.plotting import style
from kerasloc.plotting.panels import as_rgb, overlay_image

LARGE, SMALL, LOWEST = 3.6, 2.2, 0.8  # inches: longer side of a picture, any side
FEW, ACROSS, MOST = 3, 6, 120  # pictures: large ones, side by side, in total
GAP, MARGIN = 0.12, 0.15  # inches


class _Layer(NamedTuple):
    """One map per image, of a class or of all classes; raw or in [0, 1]."""

    name: str
    maps: np.ndarray  # (n, rows, cols)
    raw: bool
    class_index: int | None = None


class _Panel(NamedTuple):
    """A picture with the boxes in it, their labels, and the text over it."""

    title: str
    picture: np.ndarray
    boxes: np.ndarray
    labels: Sequence[str] = ()
    note: str = ""


def show(
    image: npt.ArrayLike,
    maps: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    boxes: np.ndarray | Sequence | None = None,
    *,
    classes: str | Sequence[str] | None = None,
    alpha: float = 0.5,
) -> Figure:
    """Figure of an image or several, of every map over it, and of boxes.

    Maps in [0, 1] are shown without scaling. Where an array of them exceeds that range,
    each is scaled by its minimum and maximum, which are written over it; a flat one
    becomes 0. All boxes are on the image itself, with class and score; maps of a class
    show the boxes of that class, other maps all of them.

    Args:
        image: Image (rows, cols) or (rows, cols, 1 or 3), or a batch
            (n, rows, cols, 1 or 3); uint8, uint16 or float in [0, 1].
        maps: Maps (rows, cols), (rows, cols, classes) or a dict of names and maps
            (rows, cols), of any size; for a batch the same with n in front. For one
            image an array of three axes of which the first has length 1 is one map.
        boxes: Rows x, y, w, h[, class[, score]] in pixels of the image; for a batch a
            list of an array per image, or a table's rows image, x, y, w, h, class.
        classes: Names of the last axis of the maps, and of the boxes' classes.
        alpha: Weight of the maps, [0, 1].

    Raises:
        TypeError: If the image has another dtype.
        ValueError: If a shape or a value does not fit, or there are over 120 pictures.

    Examples:
        >>> heat = np.linspace(0, 1, 24).reshape(3, 4, 2)
        >>> figure = show(np.zeros((12, 16)), heat, classes=["cat", "dog"])
        >>> [ax.texts[0].get_text() for ax in figure.axes]
        ['image', 'cat', 'dog']
    """
    pictures, names = _as_pictures(image), None
    if classes is not None:
        names = (classes,) if isinstance(classes, str) else tuple(map(str, classes))
    layers = _as_layers(maps, pictures, names)
    rows = [_as_rows(array, names) for array in _split_boxes(boxes, len(pictures))]
    count = 1 + len(layers)
    if len(pictures) * count > MOST:
        raise ValueError(
            f"Expected at most {MOST} pictures. Received: {len(pictures)} images of "
            f"{count} pictures each. Use fewer images, image[:5], or fewer classes."
        )
    lines = -(-count // ACROSS)
    columns = -(-count // lines)
    longer = LARGE if len(pictures) * count <= FEW else SMALL
    size = np.array(pictures[0].shape[:2])
    height, width = np.maximum(LOWEST, longer * size / size.max()).tolist()
    head = 0.4 if any(layer.raw for layer in layers) else 0.26
    cell = (width, head + height)
    grid = style.Grid(columns, len(pictures) * lines, cell, (GAP, GAP), (MARGIN,) * 4)
    figure = style.new_figure(*grid.size)
    for number, picture in enumerate(pictures):
        title = "image" if len(pictures) == 1 else f"image {number}"
        panels = [_Panel(title, picture, rows[number], _labels(rows[number], names))]
        panels += [_blend(layer, number, panels[0], alpha) for layer in layers]
        for index, panel in enumerate(panels):
            down, across = divmod(index, columns)
            left, top = grid.corner(across, number * lines + down)
            ax = style.add_axes(figure, left, top + head, width, height)
            _draw(ax, panel, letters=max(8, int(12.5 * width)))
    return figure


def _as_pictures(image: npt.ArrayLike) -> list[np.ndarray]:
    """All images, (rows, cols, 3) each."""
    pixels = np.asarray(image)
    batch = pixels if pixels.ndim == 4 else pixels[None]
    gray = pixels.ndim == 3 and pixels.shape[-1] not in (1, 3) and len(pixels) > 1
    if not pixels.size or gray:
        raise ValueError(
            "Expected an image (rows, cols) or (rows, cols, 1 or 3), or a batch of the "
            f"latter. Received: shape {pixels.shape}. Use images[..., None] if gray."
        )
    return [as_rgb(picture) for picture in batch]


def _as_layers(maps, pictures: list[np.ndarray], names) -> list[_Layer]:
    """The maps to show over the images."""
    if maps is None:
        return []
    if isinstance(maps, Mapping):
        layers = []
        for name, values in maps.items():
            stack, raw = _as_stack(values, pictures)
            layers.append(_Layer(str(name), stack[..., 0], raw))
            if stack.shape[-1] != 1:
                raise ValueError(
                    "Expected a dict with one map per image and name. Received: "
                    f"{name!r} with maps of {stack.shape[-1]} classes for "
                    f"{len(pictures)} images. Use a class, maps[..., 0]."
                )
        return layers
    stack, raw = _as_stack(maps, pictures)
    count = stack.shape[-1]
    if count == 1:
        name = names[0] if names is not None and len(names) == 1 else "map"
        return [_Layer(name, stack[..., 0], raw)]
    names = names or tuple(f"class {index}" for index in range(count))
    if len(names) != count:
        raise ValueError(
            "Expected one name per class of the maps, their last axis. Received: "
            f"{len(names)} classes for maps of shape {np.shape(maps)}."
        )
    return [_Layer(name, stack[..., i], raw, i) for i, name in enumerate(names)]


def _as_stack(maps: npt.ArrayLike, pictures: list[np.ndarray]):
    """Finite maps (n, rows, cols, classes); True if they are not in [0, 1]."""
    stack, count, size = np.asarray(maps, float), len(pictures), pictures[0].shape[:2]
    shape = stack.shape or (0,)
    if count == 1 and (stack.ndim == 2 or (stack.ndim == 3 and shape[0] > 1)):
        stack = stack[None]
    first = count == 1 < shape[0] and shape[1:] == size != shape[:2]  # classes first
    stack = stack[..., None] if stack.ndim == 3 else stack
    if stack.ndim != 4 or len(stack) != count or not stack.size or first:
        form = "(rows, cols[, classes])"
        form = form if count == 1 else f"({count}, {form[1:]}"
        raise ValueError(
            f"Expected maps {form} of {count} image{'s' * (count > 1)}. Received: "
            f"shape {shape} for images of {size[0]} x {size[1]}. Use a map per image, "
            "classes last; for maps of several methods a dict of names and maps."
        )
    if not np.isfinite(stack).all():
        bad = np.count_nonzero(~np.isfinite(stack))
        raise ValueError(
            f"Expected maps of finite numbers. Received: {bad} NaN or infinite values. "
            "Use np.nan_to_num to replace them with 0."
        )
    return stack, bool(stack.min() < 0 or stack.max() > 1)


def _split_boxes(boxes, count: int) -> Sequence[npt.ArrayLike]:
    """The boxes of each image, unchecked."""
    if boxes is None or not len(boxes):
        return [()] * count
    if any(np.ndim(rows) == 2 for rows in boxes):  # an array per image
        if len(boxes) == count:
            return list(boxes)
        raise ValueError(
            f"Expected one array of boxes per image. Received: {len(boxes)} arrays "
            f"for {count} images. Use () where an image has no box."
        )
    if count == 1:
        return [boxes]
    rows = as_rows(boxes)
    images = rows[:, 0]
    wrong = images[~np.isin(images, range(count))]
    if wrong.size:
        raise ValueError(
            f"Expected boxes with an image index from 0 to {count - 1}. Received: "
            f"{wrong[0]:g}. Use the subset of the table that is shown."
        )
    return [rows[images == index, 1:] for index in range(count)]


def _as_rows(boxes: npt.ArrayLike, names: tuple[str, ...] | None) -> np.ndarray:
    """Rows x, y, w, h[, class[, score]] of one image."""
    rows = np.asarray(boxes, float)
    if not rows.size:
        return np.zeros((0, 4))
    if rows.ndim != 2 or not 4 <= rows.shape[1] <= 6 or not np.isfinite(rows).all():
        raise ValueError(
            "Expected boxes of an image as rows x, y, w, h[, class[, score]] of finite "
            f"numbers. Received: shape {rows.shape}, "
            f"{np.count_nonzero(~np.isfinite(rows))} NaN or infinite values."
        )
    index, most = rows[:, 4:5], np.inf if names is None else len(names)
    wrong = index[(index % 1 != 0) | (index < 0) | (index >= most)]
    if wrong.size:
        rule = "" if names is None else f", below the number of classes, {most}"
        raise ValueError(
            f"Expected boxes with the index of a class{rule}. "
            f"Received: {wrong[0]:g}. Use boxes[:, :4] without classes."
        )
    return rows


def _labels(boxes: np.ndarray, names: tuple[str, ...] | None) -> list[str]:
    labels = []
    for index, *score in boxes[:, 4:] if boxes.shape[1] > 4 else ():
        name = f"class {index:.0f}" if names is None else names[int(index)]
        labels.append(" ".join([name, *(f"{value:.2f}" for value in score)]))
    return labels


def _blend(layer: _Layer, number: int, panel: _Panel, alpha: float) -> _Panel:
    """The panel of an image with the map of a layer over it."""
    heat, note, boxes = layer.maps[number], "", panel.boxes
    if layer.raw:
        note, heat = _extent(heat), scale_to_unit(heat, dtype=float)
    if layer.class_index is not None and boxes.shape[1] > 4:
        boxes = boxes[boxes[:, 4] == layer.class_index]
    picture = overlay_image(panel.picture, heat, alpha).clip(0, 1)  # rounding errors
    return _Panel(layer.name, picture, boxes, note=note)


def _extent(heat: np.ndarray) -> str:
    """Minimum and maximum, in words."""
    low, high = heat.min(), heat.max()
    if is_flat(heat):
        return f"flat: {low:.3g}"
    ends = (0 if abs(end) < (high - low) / 1000 else end for end in (low, high))
    return " to ".join(f"{end:.3g}" for end in ends)


def _draw(ax: Axes, panel: _Panel, letters: int) -> None:
    """Draw a picture with its boxes; title and note over it."""
    ax.imshow(panel.picture)
    ax.set_axis_off()
    style.draw_boxes(ax, panel.boxes)
    title = printable(panel.title)
    title = title if len(title) <= letters else title[: letters - 3] + "..."
    bold = style.RELATIVE | {"size": 9.5, "weight": "bold", "color": style.INK}
    ax.annotate(title, (0, 1), (0, 15 if panel.note else 4), **bold)
    small = style.RELATIVE | {"size": 7.5, "color": style.SOFT}
    ax.annotate(panel.note, (0, 1), (0, 4), **small)
    for box, label in zip(panel.boxes, panel.labels, strict=False):
        _draw_label(ax, box, label, *panel.picture.shape[:2])


def _draw_label(ax: Axes, box: np.ndarray, text: str, rows: int, cols: int) -> None:
    """Write at the upper edge of a box: over it, or in it at the image's edge."""
    x, y, w = box[:3]
    right, inside = x > 0.6 * cols, y < 0.12 * rows
    ax.annotate(
        printable(text),
        (np.clip(x + w if right else x, 0, cols) - 0.5, np.clip(y, 0, rows) - 0.5),
        (-1 if right else 1, -2 if inside else 1.5),
        textcoords="offset points",
        annotation_clip=False,
        parse_math=False,
        size=7.5,
        color=style.INK,
        bbox={"facecolor": style.BOX_COLOR, "edgecolor": "none", "pad": 1.2},
        ha="right" if right else "left",
        va="top" if inside else "bottom",
    )
