"""Arrays that a model takes: images, alone or beside tables."""

from collections.abc import Mapping

import keras
import numpy as np
from keras import ops

Pair = (list, tuple)


def as_inputs(
    x, inputs: Mapping[str, keras.KerasTensor], image: keras.KerasTensor
) -> tuple[list[np.ndarray], bool]:
    """Convert what a model takes to batches of its inputs' types and shapes.

    Args:
        x: Images; of several inputs a list in the order of the model, or a dict.
        inputs: Symbolic inputs of the model by name, in its order.
        image: Input with the images to explain.

    Returns:
        Arrays with n entries, first the images; True if it was a single image.

    Raises:
        TypeError: If images have no numbers, or a kind that the model does not take.
        ValueError: If inputs are missing or left over, or shapes do not fit.

    Examples:
        >>> image, table = keras.Input((4, 4, 3)), keras.Input((2,))
        >>> x = [np.zeros((4, 4, 3)), [0.5, 1]]
        >>> arrays, single = as_inputs(x, {"image": image, "table": table}, image)
        >>> [array.shape for array in arrays], single
        ([(1, 4, 4, 3), (1, 2)], True)
    """
    check_no_labels(x, len(inputs))
    if len(inputs) == 1:
        images, single = as_batch(x, image)
        return [images], single
    arrays = _in_order(x, list(inputs))
    index = next(i for i, tensor in enumerate(inputs.values()) if tensor is image)
    images, single = as_batch(arrays[index], image)
    batches = [images]
    for array, (name, tensor) in zip(arrays, inputs.items(), strict=True):
        if tensor is not image:
            batches.append(_as_rows(array, tensor, name, len(images), single))
    return batches, single


def input_names(model: keras.Model) -> list[str]:
    """List the names of a model's inputs in its order; the keys of a dict of them.

    Examples:
        >>> x, y = keras.Input((2,), name="x"), keras.Input((2,), name="y")
        >>> input_names(keras.Model([y, x], x + y))
        ['y', 'x']
    """
    named = getattr(model, "input", None)  # sequential models may have none
    pairs = named.items() if isinstance(named, Mapping) else ()
    keys = {id(tensor): key for key, tensor in pairs}
    return [keys.get(id(tensor), tensor.name) for tensor in model.inputs]


def as_batch(x, image: keras.KerasTensor) -> tuple[np.ndarray, bool]:
    """Convert images to a batch of a model's type and shape.

    Args:
        x: Batch or image; also the dict or list of the one input, or a tensor.
        image: Symbolic input of the model.

    Returns:
        Array (n, rows, cols, channels); True if ``x`` was a single image.

    Raises:
        TypeError: If ``x`` has no numbers, or a kind that the model does not take.
        ValueError: If the shape does not fit.

    Examples:
        >>> batch, single = as_batch(np.zeros((4, 4, 3)), keras.Input((None, None, 3)))
        >>> batch.shape, batch.dtype, single
        ((1, 4, 4, 3), dtype('float32'), True)
    """
    x = _as_array(x)
    dtype = keras.backend.standardize_dtype(image.dtype)
    if x.dtype.kind == "f" and "float" not in dtype:
        raise TypeError(
            f"The model takes {dtype}. Received: {x.dtype}, which would be cut off. "
            f"Use x.astype('{dtype}') for whole numbers, or scale the images before."
        )
    if x.dtype.kind in "iub" and "float" in dtype:
        raise TypeError(
            f"The model takes {dtype}. Received: {x.dtype}. Use the range that it was "
            "trained on, such as x / 255; x.astype('float32') if it scales by itself."
        )
    single = x.ndim == len(image.shape) - 1
    batch = x[None] if single else x
    if not _fits(batch, image) or not len(batch):
        raise ValueError(
            f"The model takes images {image.shape}. Received: shape {x.shape}. Resize "
            "them, or convert their channels."
        )
    return batch.astype(dtype), single


def check_no_labels(x, inputs: int = 1) -> None:
    """Raise a ValueError for a pair of images and labels, as datasets have them.

    Args:
        x: What came as images.
        inputs: Number of inputs of the model.

    Examples:
        >>> check_no_labels([np.zeros((4, 4, 3)), np.zeros((4, 4, 3))])  # two images
    """
    if not isinstance(x, Pair) or len(x) not in (2, 3):
        return
    first, second = x[0], x[1]
    structured = isinstance(first, Mapping) or (inputs > 1 and _is_several(first))
    alone = inputs == 1 and (_ndim(first) == 4 or _ndim(second) < _ndim(first) == 3)
    if structured or alone or (inputs == 1 and _ndim(first) == 2 and _ndim(second) < 2):
        raise ValueError(
            "Expected images alone. Received: a pair of images and labels, a "
            f"{type(x).__name__} of {len(x)}. Use its first entry, x[0]."
        )


def _in_order(x, names) -> list:
    """Inputs in the order of the model."""
    rule = f"Expected {len(names)} inputs, [{', '.join(names)}] or a dict of them. "
    if isinstance(x, Mapping):
        if set(x) != set(names):
            raise ValueError(f"{rule}Received: a dict of {', '.join(map(str, x))}.")
        return [x[name] for name in names]
    if not isinstance(x, Pair) or len(x) != len(names):
        count = f" of {len(x)}" if isinstance(x, Pair) else ""
        raise ValueError(f"{rule}Received: {type(x).__name__}{count}.")
    return list(x)


def _as_rows(x, tensor, name, count, single) -> np.ndarray:
    """Array (count, ...) for an input besides the images."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    try:
        array = np.asarray(ops.convert_to_numpy(x) if ops.is_tensor(x) else x)
        converted = array if dtype == "string" else array.astype(dtype)
    except (TypeError, ValueError):  # NumPy's errors for ragged lists and texts
        raise TypeError(
            f"The model takes {name!r} {tensor.shape} as {dtype}. Received: "
            f"{type(x).__name__} that is no table of numbers. Encode texts, and fill "
            "rows that are too short."
        ) from None
    rows = converted
    if single and array.ndim < len(tensor.shape):
        rows = rows[None]
    if rows.ndim == len(tensor.shape) - 1 and tensor.shape[-1] == 1:
        rows = rows[..., None]  # as Keras does
    if not _fits(rows, tensor) or len(rows) != count:
        raise ValueError(
            f"The model takes {name!r} {tensor.shape}, with a row for every image. "
            f"Received: shape {array.shape} for {count} images."
        )
    if "float" not in dtype and (converted != array).any():
        raise TypeError(
            f"The model takes {name!r} as {dtype}. Received: {array.dtype}, which "
            "would be cut off. Use whole numbers."
        )
    return rows


def _fits(batch, tensor) -> bool:
    sides = zip(tensor.shape[1:], batch.shape[1:], strict=False)
    same = all(expected in (None, side) for expected, side in sides)
    return batch.ndim == len(tensor.shape) and same


def _is_several(x) -> bool:
    """Test for a list of arrays, not a list of images or rows."""
    return isinstance(x, Pair) and len({np.shape(array) for array in x}) > 1


def _ndim(x) -> int:
    """Number of axes; 0 of what has none."""
    try:
        return len(x.shape) if hasattr(x, "shape") else np.ndim(x)
    except ValueError:  # NumPy's error for ragged lists
        return 0


def _as_array(x) -> np.ndarray:
    """Numbers, also of a dict or list of the one input, or of a tensor."""
    if isinstance(x, dict) and len(x) == 1:
        (x,) = x.values()
    elif isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) > 3:
        (x,) = x
    try:
        x = np.asarray(ops.convert_to_numpy(x) if ops.is_tensor(x) else x)
    except ValueError:  # NumPy's error for ragged lists
        raise ValueError(
            "Expected images of one size in a batch. Received: a list of several "
            "sizes. Resize them, or explain one image at a time."
        ) from None
    if x.dtype.kind not in "fiub" and x.dtype.name != "bfloat16":
        raise TypeError(
            "Expected images as an array of numbers, (n, rows, cols, channels). "
            f"Received: {type(x).__name__ if x.ndim else type(x.item()).__name__}. "
            "Read files, and take batches of a dataset, first."
        )
    return x
