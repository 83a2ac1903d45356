"""Boxes refined to masks by a dense CRF on the image, kept in files.

Reference:
    Kraehenbuehl, Koltun: Efficient inference in fully connected CRFs with Gaussian
    edge potentials, NIPS 2011.
"""

import bisect
import concurrent.futures
import hashlib
import logging
import multiprocessing
import os
import pathlib

import numpy as np

from kerasloc.boxes import to_mask
from kerasloc.checks import as_unit_range
from kerasloc.data.table import Table

logger = logging.getLogger(__name__)

# Widths of the kernel by the shorter side of the box: the first below 45 px, ...
SIDES = (45, 70, 140, 210, 380)
POSITIONS = (5, 12, 15, 25, 50, 110)  # px
INTENSITIES = (2, 5, 6, 11, 13, 26)  # of 0..255
PROBABILITY, COMPATIBILITY, ITERATIONS = 0.7, 10, 5
MARGIN = 3  # widths around a box; beyond, the kernel is below 1.2 %
BITS = 16  # classes in a channel of a file
MOST = 4 * BITS


def refine_boxes(
    image,
    boxes,
    *,
    probability: float = PROBABILITY,
    compatibility: float = COMPATIBILITY,
    iterations: int = ITERATIONS,
) -> np.ndarray:
    """What one image's boxes of a class hold, boolean, (rows, cols).

    Each box on its own: a dense CRF with a bilateral kernel, its widths by the box's
    shorter side, and what it finds inside the box. It sees the box and a margin of
    three widths, no more, which takes a hundredth to all of the time and moves the
    answer as little as another origin of the approximating lattice does. A box of
    which nothing is left is kept whole, with a warning.

    Args:
        image: (rows, cols), or with 1 or 3 channels; uint8 or float in [0, 1].
        boxes: Rows x, y, w, h of the image, pixels, (k, 4).
        probability: How sure it is that a pixel is of the object inside of the box,
            and is not outside, above 0.5 and below 1.
        compatibility: Weight of the kernel, positive.
        iterations: Of the mean field, at least 1.

    Raises:
        ImportError: If pydensecrf is not installed.
        ValueError: If the image or an option is out of its range.
    """
    _densecrf()
    if not (0.5 < probability < 1 and compatibility > 0 and iterations >= 1):
        raise ValueError(
            "A CRF takes a probability between 0.5 and 1, a positive compatibility "
            f"and an iteration or more. Received: {probability}, {compatibility} and "
            f"{iterations}."
        )
    pixels = _as_pixels(image)
    answer = np.zeros(pixels.shape[:2], bool)
    for box in np.asarray(boxes, float).reshape(-1, 4):
        answer |= _refined(pixels, box, (probability, compatibility, iterations))
    return answer


def crf_masks(
    table: Table, folder, progress: bool = True, *, workers: int = 1
) -> dict[int, str]:
    """Paths of files with the refined boxes of every image that has boxes, by row.

    Class k is bit k % 16 of channel k // 16 of a 16-bit PNG, of the size of the upright
    image; ``decode_class_masks`` reads it. Files are named by image, boxes and kernel:
    those that are there are not made again, so a run that was killed goes on, and
    several tables may share a folder.

    Args:
        table: The images, at most 64 classes.
        folder: Where the files go; made when it is absent.
        progress: Whether there is a progress bar.
        workers: Processes that share the work. With more than one, what calls this
            must be importable (a program's ``if __name__ == "__main__":``).

    Raises:
        ImportError: If pydensecrf is not installed, before any work.
        ValueError: If there are more classes, or no worker.
    """
    _densecrf()
    if len(table.class_names) > MOST or workers < 1:
        raise ValueError(
            f"Files hold the masks of up to {MOST} classes, and take a worker or more. "
            f"Received: {len(table.class_names)} classes and workers={workers}. "
            "Select classes first (kerasloc.data.select_classes)."
        )
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    boxes = _boxes_by_row(table)
    paths = {row: folder / _name(table, row, boxes[row]) for row in boxes}
    absent = {path: row for row, path in paths.items() if not path.is_file()}
    todo = {row: (path, boxes[row]) for path, row in absent.items()}
    _write_all(table, todo, progress, workers)
    return {row: str(path) for row, path in paths.items()}


def decode_class_masks(path, size: tuple[int, int], classes: int):
    """Masks of a file that ``crf_masks`` wrote, boolean, (rows, cols, classes).

    By ``tf`` ops, eagerly or in a data set.

    Args:
        path: Scalar string; "" (an image without boxes) gives empty masks.
        size: Rows and columns wanted; taken from the file by nearest neighbors.
        classes: Number of classes of the table.

    Raises:
        tf.errors.OpError: If the file is missing, or of a table with another number
            of classes as far as its channels tell.
    """
    import tensorflow as tf

    channels = -(-classes // BITS)

    def read():
        bits = tf.io.decode_png(tf.io.read_file(path), dtype=tf.uint16)
        bits = tf.ensure_shape(bits, (None, None, channels))
        bits = tf.image.resize(bits, size, method="nearest")
        own = tf.gather(bits, np.arange(classes) // BITS, axis=-1)
        flags = (1 << np.arange(classes) % BITS).astype(np.uint16)
        return tf.bitwise.bitwise_and(own, flags) > 0

    masks = tf.cond(
        tf.equal(path, ""), lambda: tf.zeros((*size, classes), tf.bool), read
    )
    masks.set_shape((*size, classes))
    return masks


def _densecrf():
    """The module that infers."""
    try:
        from pydensecrf import densecrf
    except ImportError as error:
        raise ImportError(
            "Refining boxes takes a dense CRF, the package pydensecrf2. Received: "
            f'{error}. Install it with pip install -e ".[crf]" (it compiles with gcc), '
            "or train on the boxes as they are."
        ) from error
    return densecrf


def _as_pixels(image) -> np.ndarray:
    """The image as RGB, uint8, (rows, cols, 3)."""
    image = np.asarray(image)
    gray = image[..., None] if image.ndim == 2 else image
    if gray.ndim != 3 or gray.shape[-1] not in (1, 3) or not gray.size:
        raise ValueError(
            "An image is (rows, cols), or with 1 or 3 channels. "
            f"Received: shape {image.shape}."
        )
    pixels = np.round(as_unit_range(gray) * 255).astype(np.uint8)
    # a copy: the library refuses what it may not write to
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy()


def _refined(pixels, box, options) -> np.ndarray:
    """What the CRF leaves of one box, boolean, (rows, cols)."""
    mask = to_mask([box], pixels.shape[:2])
    if not mask.any():
        return mask
    x, y, w, h = (int(value) for value in box)
    row = bisect.bisect_right(SIDES, min(box[2:]))
    margin = MARGIN * POSITIONS[row]
    near = (
        slice(max(y - margin, 0), y + h + margin),
        slice(max(x - margin, 0), x + w + margin),
    )
    widths = POSITIONS[row], INTENSITIES[row]
    found = mask[near] & _inferred(pixels[near], mask[near], widths, options)
    if found.any():
        mask[near] = found
    else:
        logger.warning("The CRF leaves nothing of the box %s; it is kept whole.", box)
    return mask


def _inferred(pixels, mask, widths, options) -> np.ndarray:
    """Where the object of a mask is more probable than the rest, boolean.

    Args:
        pixels: RGB, uint8, (rows, cols, 3).
        mask: Where the object may be, boolean, (rows, cols).
        widths: Of the kernel in position and in intensity.
        options: Probability, compatibility, iterations.
    """
    probability, compatibility, iterations = options
    crf = _densecrf().DenseCRF2D(*mask.shape[::-1], 2)
    labels = np.stack([~mask, mask]).reshape(2, -1)
    shares = np.where(labels, probability, 1 - probability)
    crf.setUnaryEnergy(-np.log(shares).astype(np.float32))
    crf.addPairwiseBilateral(
        sxy=widths[0],
        srgb=widths[1],
        rgbim=np.ascontiguousarray(pixels),
        compat=compatibility,
    )
    outside, inside = np.array(crf.inference(iterations))
    return (inside > outside).reshape(mask.shape)


def _boxes_by_row(table: Table) -> dict[int, np.ndarray]:
    """Rows x, y, w, h, class of every image that has some, sorted, each once."""
    boxes = np.unique(table.boxes, axis=0)
    rows, starts = np.unique(boxes[:, 0].astype(int), return_index=True)
    parts = np.split(boxes[:, 1:], starts[1:])
    return dict(zip(rows.tolist(), parts, strict=False))


def _name(table: Table, row: int, boxes: np.ndarray) -> str:
    """A file name that changes when what is in the file does."""
    path = os.path.abspath(table.paths[row])
    stat = os.stat(path)
    facts = (
        path,
        int(table.orientations[row]),
        (stat.st_size, stat.st_mtime_ns),
        _channels(table),
        boxes.tolist(),
        (SIDES, POSITIONS, INTENSITIES, MARGIN),
        (PROBABILITY, COMPATIBILITY, ITERATIONS),
    )
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:40] + ".png"


def _channels(table: Table) -> int:
    return -(-len(table.class_names) // BITS)


def _write_all(table: Table, todo: dict, progress: bool, workers: int) -> None:
    """Makes the files of some rows: row -> path and boxes."""
    from tqdm import tqdm

    quiet = not progress or not todo
    bar = tqdm(
        total=len(todo), desc="Refining boxes", unit="image", disable=quiet, leave=False
    )
    rows, channels = list(todo), _channels(table)
    with bar, _pool(min(workers, len(rows))) as pool:
        # A few at a time: a pool would read all images before the first is done.
        for start in range(0, len(rows), 4 * workers):
            some = rows[start : start + 4 * workers]
            images = (_read(table, row) for row in some)
            boxes = (todo[row][1] for row in some)
            run = map if pool is None else pool.map
            found = run(_class_bits, images, boxes, [channels] * len(some))
            for row, bits in zip(some, found, strict=True):
                _write(todo[row][0], bits)
                bar.update()


def _pool(workers: int):
    """Processes, or none: a copy of this one might hold locks of TensorFlow's."""
    import contextlib

    if workers < 2:
        return contextlib.nullcontext()
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(workers, context)


def _read(table: Table, row: int) -> np.ndarray:
    """The upright image of a row, uint8, (rows, cols, 3)."""
    import tensorflow as tf

    from kerasloc.data.decode import decode

    with tf.device("CPU:0"):
        image = decode(str(table.paths[row]), int(table.orientations[row]), 3)
        return _as_pixels(image.numpy())


def _class_bits(pixels: np.ndarray, boxes: np.ndarray, channels: int) -> np.ndarray:
    """Refined boxes of all classes, uint16, (rows, cols, channels)."""
    bits = np.zeros((*pixels.shape[:2], channels), np.uint16)
    index = boxes[:, 4].astype(int)
    for k in np.unique(index):
        mask = refine_boxes(pixels, boxes[index == k, :4])
        bits[..., k // BITS] |= mask * np.uint16(1 << k % BITS)
    return bits


def _write(path: pathlib.Path, bits: np.ndarray) -> None:
    """A file that is whole or absent."""
    import tensorflow as tf

    partial = path.with_name(f"partial-{os.getpid()}-{path.name}")
    with tf.device("CPU:0"):
        partial.write_bytes(tf.io.encode_png(bits).numpy())
    os.replace(partial, path)
