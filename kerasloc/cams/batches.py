"""Images of any source as batches that a model takes, and its outputs for them."""

import keras
import numpy as np
from keras import ops

from kerasloc.layers import has_accelerator


def run(model: keras.Model, images: np.ndarray, *inputs, batch_size: int | None = None):
    """Compute the outputs of a model for all images, a batch at a time.

    Args:
        model: Model with one output, a list or a dict of them.
        images: Array (n, rows, cols, channels).
        *inputs: Further inputs with n entries.
        batch_size: Number of images in a batch; :func:`images_at_once` by default.

    Returns:
        Arrays in the structure of the model's outputs.

    Raises:
        ValueError: If there is no image.

    Examples:
        >>> image = keras.Input((2, 2, 1))
        >>> run(keras.Model(image, {"twice": 2 * image}), np.ones((3, 2, 2, 1)))
        {'twice': array([[[[2.], ...
    """
    if not len(images):
        raise ValueError("Expected at least one image. Received: no images.")
    step = batch_size or images_at_once(images.shape[1:3])
    batches = [
        model.predict_on_batch(
            [array[start : start + step] for array in (images, *inputs)]
            if inputs
            else images[start : start + step]
        )
        for start in range(0, len(images), step)
    ]
    return keras.tree.map_structure(
        lambda *arrays: np.concatenate([np.asarray(array) for array in arrays]),
        *batches,
    )


def images_at_once(
    size: tuple[int, int], pixels: int = 40_000, accelerator: bool | None = None
) -> int:
    """Choose a batch size for images of a size.

    A GPU is fast on large batches; on a CPU features that leave its cache cost more
    than a larger batch saves (measured: 2 at 224 pixels, 4 at 96).

    Args:
        size: (rows, cols).
        pixels: Approximate number of pixels in a batch on a CPU; more for networks
            that reduce the size early.
        accelerator: Whether there is a GPU; detected by default.

    Examples:
        >>> images_at_once((96, 96), accelerator=False)
        4
    """
    if has_accelerator() if accelerator is None else accelerator:
        return 32
    return max(2, min(32, pixels // (size[0] * size[1])))


def as_batch(x, image: keras.KerasTensor) -> tuple[np.ndarray, bool]:
    """Convert images to a batch of a model's type and shape.

    Args:
        x: Batch or image; also the dict or list of the one input, or a tensor.
        image: Symbolic input of the model.

    Returns:
        Array (n, rows, cols, channels), and whether ``x`` was a single image.

    Raises:
        TypeError: If ``x`` has no numbers, integers where the model takes floats, or
            floats where it takes integers.
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
            f"Use x.astype('{dtype}') for whole numbers of that range, or scale the "
            "images to it before."
        )
    if x.dtype.kind in "iub" and "float" in dtype:
        raise TypeError(
            f"The model takes {dtype}. Received: {x.dtype}, whose range the model may "
            "not expect. Use the range that it was trained on, such as x / 255, or "
            "x.astype('float32') if it scales by itself."
        )
    single = x.ndim == len(image.shape) - 1
    batch = x[None] if single else x
    fits = batch.ndim == len(image.shape) and all(
        expected is None or expected == received
        for expected, received in zip(image.shape[1:], batch.shape[1:], strict=True)
    )
    if not fits or not len(batch):
        raise ValueError(
            f"The model takes images {image.shape}. Received: shape {x.shape}. Resize "
            "them, or convert their channels."
        )
    return batch.astype(dtype), single


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
