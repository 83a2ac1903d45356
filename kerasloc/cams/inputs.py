"""What maps are asked of: images as a model takes them, and classes."""

import keras
import numpy as np
from keras import ops

SHOWN = 20


def as_classes(classes, count: int, names) -> tuple[np.ndarray, bool]:
    """Indices (n, classes), -1 for the predicted one, and whether several were asked.

    Args:
        classes: None, a class, one per image, one list per image, or ``"all"``. A class
            is an index, or one of the names.
        count: Images.
        names: Of the classes, in the order of the logits; numbers when there are none.

    Raises:
        ValueError: If there are too few or too many, or one is none.
    """
    if classes is None:
        return np.full((count, 1), -1), False
    if isinstance(classes, str) and classes == "all" and "all" not in names:
        return np.tile(np.arange(len(names)), (count, 1)), True
    if not isinstance(classes, (list, tuple)) and np.ndim(classes) == 0:
        return np.full((count, 1), _index(classes, names)), False
    classes = list(classes)
    lists = [np.ndim(one) > 0 for one in classes]
    if len(classes) != count or (any(lists) and not all(lists)):
        raise ValueError(
            "Classes are None, one for all images, one per image, one list of them per "
            f"image, or 'all'. Received: {len(classes)} for {count} images"
            f"{', lists and numbers' if any(lists) and not all(lists) else ''}. "
            "Several classes of one image are [[0, 2]]."
        )
    if not any(lists):
        return np.array([[_index(one, names)] for one in classes]), False
    lengths = {len(one) for one in classes}
    if len(lengths) != 1 or lengths == {0}:
        raise ValueError(
            "Every image has as many classes as the others, at least one. "
            f"Received: lists of {sorted(lengths)}."
        )
    return np.array([[_index(one, names) for one in some] for some in classes]), True


def as_model_takes(x, image) -> tuple[np.ndarray, bool]:
    """A batch of the model's type and shape, and whether it was one image."""
    x = _as_array(x)
    wanted = keras.backend.standardize_dtype(image.dtype)
    if x.dtype.kind == "f" and "float" not in wanted:
        raise TypeError(
            f"The model takes {wanted}. Received: {x.dtype}, which would be cut off. "
            f"Give x.astype('{wanted}') if they are whole numbers of that range, or "
            "scale them to it before."
        )
    if x.dtype.kind in "iub" and "float" in wanted:
        raise TypeError(
            f"The model takes {wanted}. Received: {x.dtype}, whose range the model may "
            "not expect. Give what it was trained on, such as x / 255, or "
            "x.astype('float32') if it scales by itself."
        )
    single = x.ndim == len(image.shape) - 1
    batch = x[None] if single else x
    fits = batch.ndim == len(image.shape) and all(
        want is None or want == have
        for want, have in zip(image.shape[1:], batch.shape[1:], strict=True)
    )
    if not fits or not len(batch):
        raise ValueError(
            f"The model takes images {image.shape}. Received: shape {x.shape}. Resize "
            "them, or convert their channels."
        )
    return batch.astype(wanted), single


def _as_array(x) -> np.ndarray:
    """Numbers; also those of a dict or list of the one input, or another library's."""
    if isinstance(x, dict) and len(x) == 1:
        (x,) = x.values()
    elif isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) > 3:
        (x,) = x
    try:
        x = np.asarray(ops.convert_to_numpy(x) if ops.is_tensor(x) else x)
    except ValueError:  # as NumPy says it
        raise ValueError(
            "Images of a batch have one size. Received: a list of several. Resize "
            "them, or explain one at a time."
        ) from None
    if x.dtype.kind not in "fiub" and x.dtype.name != "bfloat16":
        raise TypeError(
            "Images are an array of numbers, (n, rows, cols, channels). "
            f"Received: {type(x).__name__ if x.ndim else type(x.item()).__name__}. "
            "Read files, and take batches of a data set, first."
        )
    return x


def _index(one, names) -> int:
    """The index of a class given as index or name."""
    if isinstance(one, str) and one in names:
        return list(names).index(one)
    number = not isinstance(one, (str, bool, np.bool_)) and np.ndim(one) == 0
    if number and one in range(len(names)):  # 1.0 is, 1.5 and NaN are not
        return int(one)
    if number and len(names) == 1:
        raise ValueError(
            "The model has one logit, which is class 0. What speaks against it is the "
            f"rest. Received: {one!r}."
        )
    named = f" or one of {', '.join(map(str, names[:SHOWN]))}"
    raise ValueError(
        f"A class is an index from 0 to {len(names) - 1}"
        f"{named if isinstance(names[0], str) else ''}. Received: {one!r}."
    )
