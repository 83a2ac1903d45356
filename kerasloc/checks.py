"""Checks of what people hand in, with errors that say rule, input and way out."""

import numbers
from collections.abc import Sequence

import numpy as np

SHOWN = 20  # class names in an error


def as_size(size, multiple: int = 1) -> tuple[int, int]:
    """(rows, cols) of an image size given as one number or a pair.

    Args:
        size: A positive integer, or (rows, cols).
        multiple: What both sides must be a multiple of.

    Raises:
        ValueError: If a side is not a positive multiple of ``multiple``.
    """
    pair = (size, size) if np.ndim(size) == 0 else tuple(size)
    if len(pair) != 2 or not all(_is_count(side) for side in pair):
        raise ValueError(
            f"An image size is a positive number or (rows, cols). Received: {size!r}."
        )
    rows, cols = (int(side) for side in pair)
    if rows % multiple or cols % multiple:
        fit = tuple(max(1, round(side / multiple)) * multiple for side in pair)
        raise ValueError(
            f"Both sides of the image must be multiples of {multiple}. "
            f"Received: {rows} x {cols}. Nearest that fits: {fit[0]} x {fit[1]}."
        )
    return rows, cols


def _is_count(side) -> bool:
    return isinstance(side, numbers.Real) and float(side).is_integer() and side >= 1


def as_images(x, input_shape: tuple[int, int, int]) -> tuple[np.ndarray, bool]:
    """Batch (n, rows, cols, channels), float32 in [0, 1], and whether it was one image.

    Args:
        x: One image (rows, cols, channels) or (rows, cols) when gray, or a batch of
            them; uint8 in 0..255, uint16 in 0..65535 or float in [0, 1].
        input_shape: Rows, columns and channels that the network takes.

    Raises:
        TypeError: If the values are not numbers of these types.
        ValueError: If the shape or the range of values does not fit.
    """
    x = np.asarray(x)
    received = x.shape
    gray = input_shape[-1] == 1
    if gray and (x.ndim == 2 or (x.ndim == 3 and x.shape[-1] != 1)):
        x = x[..., None]
    single = x.ndim == 3
    batch = x[None] if single else x
    if batch.ndim != 4 or batch.shape[1:] != tuple(input_shape):
        expected = " x ".join(map(str, input_shape))
        raise ValueError(
            f"Images are (rows, cols, channels) or a batch of them, here {expected}. "
            f"Received: shape {received}. Resize them (kerasloc.data.read_image does), "
            "or build the wrapper with another im_size or channels."
        )
    return as_unit_range(batch), single or len(batch) == 1


def as_unit_range(images) -> np.ndarray:
    """The images as float32 in [0, 1], integers divided by their type's maximum.

    Args:
        images: Array of any shape; uint8, uint16, bool or float in [0, 1].

    Raises:
        TypeError: If the type is none of these.
        ValueError: If a float is NaN, infinite or outside [0, 1].
    """
    images = np.asarray(images)
    if images.dtype in (np.uint8, np.uint16):
        return images.astype(np.float32) / np.iinfo(images.dtype).max
    if images.dtype != bool and images.dtype.kind != "f":
        raise TypeError(
            "Images are uint8 (0..255), uint16 (0..65535) or float in [0, 1]. "
            f"Received: {images.dtype}. Convert them with astype."
        )
    images = images.astype(np.float32)
    if images.size and not np.isfinite(images).all():
        raise ValueError(
            "Images hold finite numbers. Received: "
            f"{np.count_nonzero(~np.isfinite(images))} NaN or infinite pixels."
        )
    if images.size and (images.min() < 0 or images.max() > 1):
        raise ValueError(
            "Float images lie in [0, 1]. Received: values from "
            f"{images.min():.4g} to {images.max():.4g}. Divide by 255 (or pass uint8)."
        )
    return images


def as_map(values, name: str = "map") -> np.ndarray:
    """One finite map, float64, (rows, cols).

    Args:
        values: Array (rows, cols), or with one more axis of length 1 at either end.
        name: What errors call it.

    Raises:
        ValueError: If it is not one map or holds NaN or infinite values.
    """
    values = np.asarray(values, float)
    one = values
    while one.ndim > 2 and 1 in (one.shape[0], one.shape[-1]):
        one = one[0] if one.shape[0] == 1 else one[..., 0]
    if one.ndim != 2 or not one.size:
        raise ValueError(
            f"The {name} is one map (rows, cols). Received: shape {values.shape}."
        )
    if not np.isfinite(one).all():
        bad = np.count_nonzero(~np.isfinite(one))
        raise ValueError(
            f"The {name} holds finite numbers. Received: {bad} NaN or infinite values."
        )
    return one


def class_index(value: int | str, names: Sequence) -> int:
    """Resolve a class, an index or a name, to its index.

    Args:
        value: Index in the order of the logits, or a name.
        names: Class names in the order of the logits; their indices where the classes
            have no names.

    Raises:
        ValueError: If there is no such class.

    Examples:
        >>> class_index("dog", ["cat", "dog"]), class_index(0, ["cat", "dog"])
        (1, 0)
    """
    if isinstance(value, str) and value in names:
        return list(names).index(value)
    number = not isinstance(value, (str, bool, np.bool_)) and np.ndim(value) == 0
    if number and value in range(len(names)):  # 1.0 is an index, 1.5 and NaN are not
        return int(value)
    if number and len(names) == 1:
        raise ValueError(
            "A model with one logit has one class, index 0, and no index for its "
            f"absence. Received: {value!r}. Use 0."
        )
    named = f" or one of the names {', '.join(names[:SHOWN])}"
    raise ValueError(
        f"Expected a class index from 0 to {len(names) - 1}"
        f"{named if isinstance(names[0], str) else ''}. Received: {value!r}."
    )


Classes = int | str | Sequence | np.ndarray | None


def class_indices(
    classes: Classes, count: int, names: Sequence
) -> tuple[np.ndarray, bool]:
    """Resolve the classes of a batch to an index array.

    Args:
        classes: None for the predicted class, a class for all images, one class per
            image, one list of classes per image, or ``"all"``. A class is an index or a
            name.
        count: Number of images.
        names: Class names in the order of the logits; their indices where the classes
            have no names.

    Returns:
        Indices (n, classes), -1 for the predicted class, and whether each image has a
        list of classes.

    Raises:
        ValueError: If the classes do not fit the images, or there is no such class.

    Examples:
        >>> class_indices("dog", 2, ["cat", "dog"])
        (array([[1], [1]]), False)
        >>> class_indices([[0, 1], [1, 0]], 2, ["cat", "dog"])
        (array([[0, 1], [1, 0]]), True)
    """
    if classes is None:
        return np.full((count, 1), -1), False
    if isinstance(classes, str) and classes == "all" and "all" not in names:
        return np.tile(np.arange(len(names)), (count, 1)), True
    if not isinstance(classes, (list, tuple)) and np.ndim(classes) == 0:
        return np.full((count, 1), class_index(classes, names)), False
    classes = list(classes)
    nested = {np.ndim(entry) > 0 for entry in classes}
    if len(classes) != count or len(nested) > 1:
        raise ValueError(
            "Expected None, one class for all images, one class per image, one list of "
            f"classes per image, or 'all'. Received: {len(classes)} for {count} images"
            f"{', lists and numbers' if len(nested) > 1 else ''}. Several classes of "
            "one image are [[0, 2]]."
        )
    if nested != {True}:
        return np.array([[class_index(entry, names)] for entry in classes]), False
    lengths = {len(row) for row in classes}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(
            "Expected as many classes for every image, at least one. "
            f"Received: lists of {sorted(lengths)}."
        )
    return np.array([[class_index(c, names) for c in row] for row in classes]), True
