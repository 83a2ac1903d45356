"""Checks of sizes, images and maps, with errors that name rule, input and way out."""

import numbers
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import keras

Size = int | Sequence[int]  # both sides, or (rows, cols)
COMMON_BITS = (8, 10, 12, 14)  # of data in 16 bits
SHOWN = 20  # class names in an error
DIVERGED = (
    "What was saved before is unchanged. Most often the learning rate is too high: use "
    "a smaller one (--learning-rate, or --classifier-rate and --explainer-rate) and "
    "another --results-name; then try --mixed-precision float32, and check the data "
    "(utils/check_data.py)."
)
Classes = int | str | Sequence | np.ndarray | None


def as_size(size: Size, multiple: int = 1) -> tuple[int, int]:
    """Return an image size, one number or (rows, cols), as (rows, cols).

    Raises:
        ValueError: If a side is not a positive multiple of ``multiple``.

    Examples:
        >>> as_size(64), as_size((32, 48), multiple=16)
        ((64, 64), (32, 48))
    """
    pair: Any = (size, size) if np.ndim(size) == 0 else tuple(size)  # type: ignore[arg-type]
    real = [isinstance(side, numbers.Real) for side in pair]
    if real != [True, True] or not all(side >= 1 and side % 1 == 0 for side in pair):
        raise ValueError(
            "Expected an image size that is a positive number or (rows, cols). "
            f"Received: size={size!r}."
        )
    rows, cols = (int(side) for side in pair)
    if rows % multiple or cols % multiple:
        fit = [max(1, round(side / multiple)) * multiple for side in (rows, cols)]
        raise ValueError(
            f"Expected an image size with sides that are multiples of {multiple}. "
            f"Received: {rows} x {cols}. Nearest that fits: {fit[0]} x {fit[1]}."
        )
    return rows, cols


def as_images(
    x: ArrayLike, input_shape: tuple[int, int, int]
) -> tuple[np.ndarray, bool]:
    """Return a batch (n, rows, cols, channels) in [0, 1], and True for a single image.

    Args:
        x: Image (rows, cols, channels), or (rows, cols) when gray, or a batch of
            images; uint8 in 0..255, uint16 in 0..65535 or float in [0, 1].
        input_shape: Rows, columns and channels of the network's input.

    Raises:
        TypeError: If the values are not numbers of these types.
        ValueError: If the shape or the range of values does not fit.

    Examples:
        >>> images, single = as_images(np.zeros((4, 6), np.uint8), (4, 6, 1))
        >>> images.shape, single
        ((1, 4, 6, 1), True)
    """
    try:
        x = np.asarray(x)
    except ValueError:  # NumPy's error for ragged lists
        raise ValueError(
            f"Expected images alone, of one size. Received: a {type(x).__name__} of "
            "several shapes. Use x[0] of images and labels; resize images."
        ) from None
    received = x.shape
    gray = input_shape[-1] == 1
    if gray and (x.ndim == 2 or (x.ndim == 3 and x.shape[-1] != 1)):
        x = x[..., None]
    single = x.ndim == 3
    batch = x[None] if single else x
    if batch.ndim != 4 or batch.shape[1:] != tuple(input_shape):
        expected = " x ".join(map(str, input_shape))
        raise ValueError(
            "Expected images (rows, cols, channels) or a batch of them, here "
            f"{expected}. Received: shape {received}. Use kerasloc.data.read_image to "
            "resize them, or build the wrapper with another im_size or channels."
        )
    return as_unit_range(batch), single or len(batch) == 1


def likely_bits(level: int) -> int | None:
    """Return the bits of 16-bit data by its largest level; None if black or bright.

    Examples:
        >>> likely_bits(4000), likely_bits(60000)
        (12, None)
    """
    return next((bits for bits in COMMON_BITS if 0 < level < 2**bits), None)


def as_unit_range(images: ArrayLike) -> np.ndarray:
    """Return images as float32 in [0, 1], integers divided by their type's maximum.

    Raises:
        TypeError: If the images are not uint8, uint16, bool or float.
        ValueError: If a float is NaN, infinite or outside [0, 1].

    Examples:
        >>> as_unit_range(np.array([0, 51, 255], np.uint8))
        array([0. , 0.2, 1. ], dtype=float32)
    """
    images = np.asarray(images)
    if images.dtype == np.uint16:
        level = int(images.max(initial=0))
        if (likely_bits(level) or 16) <= 12:
            warnings.warn(
                f"The uint16 images end at {level} of 65535: data of "
                f"{likely_bits(level)} bits is too dark. Divide it by its largest "
                "possible level, such as 4095.",
                stacklevel=2,
            )
    if images.dtype in (np.uint8, np.uint16):
        return images.astype(np.float32) / np.iinfo(images.dtype).max
    if images.dtype != bool and images.dtype.kind != "f":
        raise TypeError(
            "Expected images of uint8 (0..255), uint16 (0..65535) or float in [0, 1]. "
            f"Received: {images.dtype}. Use astype to convert them."
        )
    images = images.astype(np.float32)
    bad = np.count_nonzero(~np.isfinite(images))
    if bad:
        raise ValueError(
            f"Expected finite images. Received: {bad} NaN or infinite pixels."
        )
    low, high = images.min(initial=0), images.max(initial=0)
    if low < 0 or high > 1:
        raise ValueError(
            f"Float images lie in [0, 1]. Received: values from {low:.4g} to "
            f"{high:.4g}. Divide by 255, or use uint8."
        )
    return images


def as_float(values: ArrayLike) -> np.ndarray:
    """Return values as floats: float64 stays, other types become float32.

    Examples:
        >>> as_float([1, 2]).dtype, as_float([0.5]).dtype
        (dtype('float32'), dtype('float64'))
    """
    values = np.asarray(values)
    wide = values.dtype == np.float64
    return values.astype(np.float64 if wide else np.float32, copy=False)


def as_map(values: ArrayLike, name: str = "map") -> np.ndarray:
    """Return a single finite map (rows, cols), float64; errors call it ``name``.

    More axes of length 1 at either end are dropped.

    Raises:
        ValueError: If the shape does not fit or a value is NaN or infinite.

    Examples:
        >>> as_map(np.zeros((1, 4, 6, 1))).shape
        (4, 6)
    """
    array = squeezed = np.asarray(values, float)
    while squeezed.ndim > 2 and 1 in (squeezed.shape[0], squeezed.shape[-1]):
        squeezed = squeezed[0] if squeezed.shape[0] == 1 else squeezed[..., 0]
    if squeezed.ndim != 2 or not squeezed.size:
        raise ValueError(
            f"Expected a single {name} (rows, cols). Received: shape {array.shape}."
        )
    bad = np.count_nonzero(~np.isfinite(squeezed))
    if bad:
        raise ValueError(f"Expected a finite {name}. Received: {bad} NaN or infinite.")
    return squeezed


def as_maps(maps: ArrayLike, name: str = "maps") -> np.ndarray:
    """Return finite maps (n, rows, cols), floats; errors call them ``name``.

    Raises:
        ValueError: If the shape does not fit or a value is NaN or infinite.

    Examples:
        >>> as_maps([[[0, 1], [2, 3]]]).shape
        (1, 2, 2)
    """
    maps = as_float(maps)
    if maps.ndim != 3 or 0 in maps.shape[1:]:
        raise ValueError(
            f"Expected {name} (n, rows, cols), at least a pixel each. "
            f"Received: shape {maps.shape}. Use [map] for a single map."
        )
    if not np.isfinite(maps).all():
        bad = np.flatnonzero(~np.isfinite(maps).all(axis=(1, 2)))
        raise ValueError(
            f"Expected finite numbers in the {name}. Received: NaN or infinite values "
            f"in {len(bad)} of them, first at index {bad[0]}. Leave these images out."
        )
    return maps


def class_index(value: int | str, names: Sequence) -> int:
    """Resolve a class, an index or a name, to its index.

    Args:
        value: Index in the order of the logits, or a name.
        names: Class names in that order; their indices where classes have no names.

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
    named = [name for name in names[:SHOWN] if isinstance(name, str)]
    raise ValueError(
        f"Expected a class index from 0 to {len(names) - 1}"
        f"{' or one of the names ' if named else ''}{', '.join(named)}. "
        f"Received: {value!r}."
        f"{' Use labels.argmax(-1) of one-hot labels.' if np.ndim(value) else ''}"
    )


def class_list(values: Any, names: Sequence) -> list[int]:
    """Resolve the classes of an image to distinct indices.

    Args:
        values: Indices or names.
        names: Class names in the order of the logits, or their indices.

    Raises:
        ValueError: If there is no such class, a class comes twice, or the values are
            one-hot labels.

    Examples:
        >>> class_list(["dog", 0], ["cat", "dog"])
        [1, 0]
    """
    values = _plain(values)
    kinds = float, np.floating, bool, np.bool_
    one_hot = len(values) == len(names) and all(
        isinstance(value, kinds) and value in (0, 1) for value in values
    )
    indices = [] if one_hot else [class_index(value, names) for value in values]
    if one_hot or len(set(indices)) < len(indices):
        raise ValueError(
            "Expected distinct classes, indices or names, for an image. Received: "
            f"{values}{' (one-hot)' if one_hot else ''}. Use labels.argmax(-1) of "
            "one-hot labels, one class per image."
        )
    return indices


def class_indices(
    classes: Classes, count: int, names: Sequence
) -> tuple[np.ndarray, bool]:
    """Resolve the classes of a batch to indices (n, classes), -1 if predicted.

    Args:
        classes: None for the predicted class, a class for all images, one class per
            image, one list of classes per image, or ``"all"``; indices or names.
        count: Number of images.
        names: Class names in the order of the logits, or their indices.

    Returns:
        Indices, and whether each image has a list of classes.

    Raises:
        ValueError: If the classes do not fit the images, there is no such class, an
            image has a class twice, or they are one-hot labels.

    Examples:
        >>> class_indices("dog", 2, ["cat", "dog"])
        (array([[1], [1]]), False)
    """
    if classes is None:
        return np.full((count, 1), -1), False
    if isinstance(classes, str) and classes == "all" and "all" not in names:
        return np.tile(np.arange(len(names)), (count, 1)), True
    entries = _plain(classes)  # a class, or a list of them
    if not isinstance(entries, list):
        return np.full((count, 1), class_index(entries, names)), False
    nested = {np.ndim(entry) > 0 for entry in entries}
    if len(entries) != count or len(nested) > 1:
        raise ValueError(
            "Expected None, one class for all images, one class per image, one list of "
            f"classes per image, or 'all'. Received: {len(entries)} for {count} images"
            f"{', lists and numbers' if len(nested) > 1 else ''}. Several classes of "
            "one image are [[0, 2]]; of one-hot labels, use labels.argmax(-1)."
        )
    if nested != {True}:
        return np.array([[class_index(entry, names)] for entry in entries]), False
    lengths = {len(row) for row in entries}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(
            "Expected as many classes for every image, at least one. "
            f"Received: lists of {sorted(lengths)}."
        )
    return np.array([class_list(row, names) for row in entries]), True


def _plain(values: Any) -> Any:
    """Lists of tuples, arrays, tensors and tables; all else as it is."""
    if hasattr(values, "__array__"):
        return np.asarray(values).tolist()
    return list(values) if isinstance(values, (list, tuple)) else values


def check_finite(model: "keras.Model") -> None:
    """Raise ValueError if a weight, or one of the optimizer, is NaN or infinite.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
        >>> check_finite(model)
    """
    from keras import ops

    optimizer = getattr(model, "optimizer", None)
    weights = [*getattr(model, "weights", ()), *getattr(optimizer, "variables", ())]
    for variable in weights:
        if not np.isfinite(ops.convert_to_numpy(variable)).all():
            raise ValueError(
                "Expected a finite loss and finite weights. Received: NaN or infinity "
                f"in {variable.path}. {DIVERGED}"
            )
