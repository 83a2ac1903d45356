"""Boxes refined to masks by a dense CRF on the image, cached in files.

Reference:
    Kraehenbuehl, Koltun: Efficient inference in fully connected CRFs with Gaussian
    edge potentials, NIPS 2011.
"""

import bisect
import concurrent.futures
import contextlib
import functools
import hashlib
import logging
import multiprocessing
import os
import pathlib
import signal
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kerasloc.boxes import to_mask
from kerasloc.checks import as_unit_range
from kerasloc.data.table import Table
from kerasloc.io import atomic_write

logger = logging.getLogger(__name__)

# widths of the kernel by the shorter side of the box: the first below 45 px, ...
SIDES = (45, 70, 140, 210, 380)
POSITIONS = (5, 12, 15, 25, 50, 110)  # px
INTENSITIES = (2, 5, 6, 11, 13, 26)  # of 0..255
OPTIONS = PROBABILITY, COMPATIBILITY, ITERATIONS = 0.7, 10, 5
MARGIN = 3  # widths around a box; beyond, the kernel is below 1.2 %
BITS = 16  # classes in a channel of a file
MAX_CLASSES = 4 * BITS


def refine_boxes(
    image: npt.ArrayLike,
    boxes: npt.ArrayLike,
    *,
    probability: float = PROBABILITY,
    compatibility: float = COMPATIBILITY,
    iterations: int = ITERATIONS,
) -> np.ndarray:
    """Segment the objects in an image's boxes of a class, boolean (rows, cols).

    Each box is refined alone, by a dense CRF with a bilateral kernel whose widths
    depend on the box's shorter side, on the box and a margin of three widths; the
    result is cut to the box. A box without any remaining pixel is kept whole, with a
    warning.

    Args:
        image: Image (rows, cols), or with 1 or 3 channels; uint8 or float in [0, 1].
        boxes: Rows x, y, w, h of the image, pixels, (k, 4).
        probability: Probability of the object at a pixel inside of the box, and of its
            absence outside, above 0.5 and below 1.
        compatibility: Weight of the kernel, positive.
        iterations: Number of iterations of the mean field, at least 1.

    Raises:
        ImportError: If pydensecrf is not installed.
        ValueError: If the image or an option is out of its range.
    """
    _densecrf()
    if not (0.5 < probability < 1 and compatibility > 0 and iterations >= 1):
        raise ValueError(
            "Expected probability between 0.5 and 1, compatibility above 0, iterations "
            f"of 1 or more. Received: {probability}, {compatibility} and {iterations}."
        )
    pixels = _as_pixels(image)
    mask = np.zeros(pixels.shape[:2], bool)
    infer = functools.partial(_infer, probability, compatibility, iterations)
    for box in np.asarray(boxes, float).reshape(-1, 4):
        mask |= _refine(pixels, box, infer)
    return mask


def crf_masks(
    table: Table,
    folder: str | os.PathLike[str],
    progress: bool = True,
    *,
    workers: int = 1,
) -> dict[int, str]:
    """Write the refined boxes of every image with boxes, and return the paths by row.

    Class k is bit k % 16 of channel k // 16 of a 16-bit PNG, of the size of the upright
    image; ``decode_class_masks`` reads it. Files are named by image, boxes and kernel;
    existing ones are not made again.

    Args:
        table: The images, at most 64 classes.
        folder: Folder of the files, made if absent.
        progress: Show a progress bar.
        workers: Number of processes. With more than one, the calling program must be
            importable (``if __name__ == "__main__":``).

    Raises:
        ImportError: If pydensecrf is not installed, before any work.
        ValueError: If there are more classes, or no worker.
    """
    _densecrf()
    if len(table.class_names) > MAX_CLASSES or workers < 1:
        raise ValueError(
            f"Expected up to {MAX_CLASSES} classes and at least one worker. Received: "
            f"{len(table.class_names)} classes and workers={workers}."
        )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    unique = np.unique(table.boxes, axis=0)  # sorted
    rows, starts = np.unique(unique[:, 0].astype(int), return_index=True)
    groups = np.split(unique[:, 1:], starts[1:])
    boxes = dict(zip(rows.tolist(), groups, strict=False))  # x, y, w, h, class
    paths = {row: folder / _file_name(table, row, boxes[row]) for row in boxes}
    absent = {path: row for row, path in paths.items() if not path.is_file()}
    tasks = {row: (path, boxes[row]) for path, row in absent.items()}
    _write_all(table, tasks, progress, workers)
    return {row: str(path) for row, path in paths.items()}


def decode_class_masks(path: Any, size: tuple[int, int], classes: int) -> Any:
    """Decode a file of ``crf_masks`` by tf ops, boolean (rows, cols, classes).

    Args:
        path: Scalar string tensor; "" (an image without boxes) yields empty masks.
        size: Rows and columns of the result, by nearest neighbors.
        classes: Number of classes of the table.

    Raises:
        tf.errors.OpError: If the file is missing, or is of fewer or more classes.
    """
    import tensorflow as tf

    channels = -(-classes // BITS)

    def read():
        bits = tf.io.decode_png(tf.io.read_file(path), dtype=tf.uint16)
        bits = tf.ensure_shape(bits, (None, None, channels))
        bits = tf.image.resize(bits, size, method="nearest")
        bits = tf.gather(bits, np.arange(classes) // BITS, axis=-1)
        flags = (1 << np.arange(classes) % BITS).astype(np.uint16)
        return tf.bitwise.bitwise_and(bits, flags) > 0

    masks = tf.cond(
        tf.equal(path, ""), lambda: tf.zeros((*size, classes), tf.bool), read
    )
    masks.set_shape((*size, classes))
    return masks


def _densecrf():
    """The module of the inference."""
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ImportError(
            "Expected the package pydensecrf2, to refine boxes by a dense CRF. "
            f'Received: {error}. Use pip install -e ".[crf]" (it compiles with gcc).'
        ) from error
    return densecrf


def _as_pixels(image: npt.ArrayLike) -> np.ndarray:
    """The image as RGB, uint8, (rows, cols, 3)."""
    image = np.asarray(image)
    gray = image[..., None] if image.ndim == 2 else image
    if gray.ndim != 3 or gray.shape[-1] not in (1, 3) or not gray.size:
        raise ValueError(
            "Expected an image (rows, cols), or with 1 or 3 channels. "
            f"Received: shape {image.shape}."
        )
    pixels = np.round(as_unit_range(gray) * 255).astype(np.uint8)
    # a copy: the library refuses read-only arrays
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy()


def _refine(
    pixels: np.ndarray, box: np.ndarray, infer: Callable, margin: int = MARGIN
) -> np.ndarray:
    """Mask of the object in one box, boolean (rows, cols)."""
    mask = to_mask([box], pixels.shape[:2])
    if not mask.any():
        return mask
    x, y, w, h = (int(value) for value in box)
    size_class = bisect.bisect_right(SIDES, min(box[2:]))
    margin *= POSITIONS[size_class]
    cols = slice(max(x - margin, 0), x + w + margin)
    near = (slice(max(y - margin, 0), y + h + margin), cols)
    refined = mask[near] & infer(pixels[near], mask[near], size_class)
    if refined.any():
        mask[near] = refined
    else:
        logger.warning("The CRF leaves nothing of the box %s; it is kept whole.", box)
    return mask


def _infer(
    probability: float,
    compatibility: float,
    iterations: int,
    pixels: np.ndarray,
    mask: np.ndarray,
    size_class: int,
) -> np.ndarray:
    """Mask of the more probable object among RGB pixels (rows, cols, 3), boolean."""
    crf = _densecrf().DenseCRF2D(*mask.shape[::-1], 2)
    labels = np.stack([~mask, mask]).reshape(2, -1)
    shares = np.where(labels, probability, 1 - probability)
    crf.setUnaryEnergy(-np.log(shares).astype(np.float32))
    crf.addPairwiseBilateral(
        sxy=POSITIONS[size_class],
        srgb=INTENSITIES[size_class],
        rgbim=np.ascontiguousarray(pixels),
        compat=compatibility,
    )
    outside, inside = np.array(crf.inference(iterations))
    return (inside > outside).reshape(mask.shape)


def _file_name(table: Table, row: int, boxes: np.ndarray) -> str:
    """File name that changes with the content of the file."""
    path = os.path.abspath(table.paths[row])
    stat = os.stat(path)
    content = (
        path,
        int(table.orientations[row]),
        (stat.st_size, stat.st_mtime_ns),
        -(-len(table.class_names) // BITS),
        boxes.tolist(),
        (SIDES, POSITIONS, INTENSITIES, MARGIN),
        OPTIONS,
        *([] if table.bits is None else [table.bits]),
    )
    return hashlib.sha256(repr(content).encode()).hexdigest()[:40] + ".png"


def _write_all(table: Table, tasks: dict, progress: bool, workers: int) -> None:
    """Write the files of some rows: row -> path and boxes."""
    import tensorflow as tf
    from tqdm import tqdm

    from kerasloc.data.decode import decode

    def read(row):
        turn = int(table.orientations[row])
        image = decode(str(table.paths[row]), turn, 3, table.bits)
        return _as_pixels(image.numpy())

    rows, channels = list(tasks), -(-len(table.class_names) // BITS)
    hidden = not (progress and tasks)
    bar = tqdm(rows, "Refining boxes", unit="image", disable=hidden, leave=False)
    with bar, _pool(min(workers, len(rows))) as pool, tf.device("CPU:0"):
        # in chunks: a pool would read all images before the first is done
        for start in range(0, len(rows), 4 * workers):
            chunk = rows[start : start + 4 * workers]
            boxes = (tasks[row][1] for row in chunk)
            run = map if pool is None else pool.map
            masks = run(_class_bits, map(read, chunk), boxes, [channels] * len(chunk))
            for row, bits in zip(chunk, masks, strict=True):
                with atomic_write(tasks[row][0]) as partial:
                    partial.write_bytes(tf.io.encode_png(bits).numpy())
                bar.update()


def _pool(workers: int):
    """Processes, spawned: a fork might hold locks of TensorFlow. None below 2."""
    if workers < 2:
        return contextlib.nullcontext()
    context = multiprocessing.get_context("spawn")
    ignored = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and it these
    return concurrent.futures.ProcessPoolExecutor(
        workers, context, signal.signal, ignored
    )


def _class_bits(pixels: np.ndarray, boxes: np.ndarray, channels: int) -> np.ndarray:
    """Refined boxes of all classes, uint16, (rows, cols, channels)."""
    bits = np.zeros((*pixels.shape[:2], channels), np.uint16)
    index = boxes[:, 4].astype(int)
    for k in np.unique(index):
        mask = refine_boxes(pixels, boxes[index == k, :4])
        bits[..., k // BITS] |= mask * np.uint16(1 << k % BITS)
    return bits
