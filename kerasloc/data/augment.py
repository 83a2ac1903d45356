"""Augmentations of an image together with its boxes and mask.

An augmentation is a function ``(example, seed) -> example``: ``example`` is a dict of
tensors ``image`` (rows, cols, channels) in [0, 1] and, where there are any, ``boxes``
(k, 5) rows x, y, w, h, class in pixels and ``mask`` (rows, cols) boolean; ``seed`` is
two integers that decide everything that is drawn.

Reference:
    The affine recipe is that of Tagaris et al., High Resolution Class Activation
    Mapping, ICIP 2019; the order of its steps and its shear follow imgaug's Affine.
"""

import dataclasses
import math
import threading

import numpy as np
import tensorflow as tf

RADIANS = math.pi / 180


@dataclasses.dataclass(frozen=True)
class AffineFlip:
    """With some probability an affine warp, then with some a flip; all in one warp.

    Attributes:
        probability: Of the affine warp.
        scale: Factors per axis, from and to.
        translation: Largest share of the side, per axis, in both directions.
        rotation: Largest angle, degrees, in both directions.
        shear: Largest angle, degrees, in both directions; both axes by one draw.
        flip: Probability of the left-right flip.
    """

    probability: float = 0.5
    scale: tuple[float, float] = (0.9, 1.1)
    translation: float = 0.2
    rotation: float = 180.0
    shear: float = 5.0
    flip: float = 0.5

    def __call__(self, example: dict, seed) -> dict:
        """The example after one random warp; what comes in from outside is 0."""
        size = tf.shape(example["image"])[:2]
        matrix, nearest = self.draw(seed, size)
        return warp(example, matrix, nearest)

    def draw(self, seed, size):
        """A random matrix and whether pixels are taken from the nearest one.

        Args:
            seed: Two integers.
            size: Rows and columns of the image.

        Returns:
            Float32 (3, 3): where a point (x, y, 1), in pixels with the corner of the
            image as origin, goes; and a boolean, true for nearest, false for bilinear.
        """
        unit = tf.unstack(tf.random.stateless_uniform([9], seed), num=9)

        def within(value, limit):
            return (2.0 * value - 1.0) * limit

        low, high = self.scale
        factors = [low + value * (high - low) for value in unit[1:3]]
        shift = [within(value, self.translation) for value in unit[3:5]]
        turn = within(unit[5], self.rotation * RADIANS)
        slant = tf.tanh(within(unit[6], self.shear * RADIANS))
        rows, cols = tf.cast(size[0], tf.float32), tf.cast(size[1], tf.float32)
        affine = _product(
            _matrix(1.0, -slant, shift[0] * cols, slant, 1.0, shift[1] * rows),
            _matrix(factors[0], 0.0, 0.0, 0.0, factors[1], 0.0),
            _matrix(tf.cos(turn), -tf.sin(turn), 0.0, tf.sin(turn), tf.cos(turn), 0.0),
        )
        affine = tf.where(unit[0] < self.probability, affine, tf.eye(3))
        mirror = _matrix(tf.where(unit[7] < self.flip, -1.0, 1.0), 0.0, 0.0, 0, 1, 0)
        centre = _matrix(1.0, 0.0, cols / 2, 0.0, 1.0, rows / 2)
        from_centre = _matrix(1.0, 0.0, -cols / 2, 0.0, 1.0, -rows / 2)
        return _product(centre, mirror, affine, from_centre), unit[8] < 0.5


def warp(example: dict, matrix, nearest) -> dict:
    """The example with every point moved by a matrix; what is new is 0.

    Args:
        example: ``image`` and, where there are any, ``boxes`` and ``mask``.
        matrix: Float32 (3, 3), as :meth:`AffineFlip.draw` gives it.
        nearest: Scalar boolean: nearest or bilinear interpolation of the image.

    Returns:
        The example; a box is what surrounds its four moved corners inside the image,
        and is dropped when nothing of it is inside.
    """
    half = _matrix(1.0, 0.0, 0.5, 0.0, 1.0, 0.5)  # pixel centres lie at halves
    back = tf.linalg.inv(half) @ tf.linalg.inv(matrix) @ half
    image = example["image"]
    moved = tf.cond(
        nearest,
        lambda: _transform(image, back, "NEAREST"),
        lambda: _transform(image, back, "BILINEAR"),
    )
    moved.set_shape(image.shape)
    answer = {**example, "image": moved}
    if "mask" in example:
        mask = tf.cast(example["mask"], tf.float32)[..., None]
        moved_mask = _transform(mask, back, "NEAREST")[..., 0] > 0.5
        moved_mask.set_shape(example["mask"].shape)
        answer["mask"] = moved_mask
    if "boxes" in example:
        answer["boxes"] = _move_boxes(example["boxes"], matrix, tf.shape(image))
    return answer


def _transform(image, back, interpolation):
    """One image through the matrix that leads from the answer back to it."""
    vector = tf.reshape(back / back[2, 2], [9])[:8]
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=vector[None],
        output_shape=tf.shape(image)[:2],
        fill_value=0.0,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )[0]


def _move_boxes(boxes, matrix, shape):
    x, y, w, h = tf.unstack(boxes[:, :4], axis=1)
    ones = tf.ones_like(x)
    corners = tf.stack(
        [
            tf.stack([x + dx * w, y + dy * h, ones])
            for dx in (0.0, 1.0)
            for dy in (0.0, 1.0)
        ]
    )  # (corners, 3, boxes)
    moved = tf.einsum("ij,cjb->cib", matrix, corners)[:, :2]
    limit = tf.cast(tf.stack([shape[1], shape[0]]), tf.float32)[:, None]
    low = tf.clip_by_value(tf.reduce_min(moved, axis=0), 0.0, limit)
    high = tf.clip_by_value(tf.reduce_max(moved, axis=0), 0.0, limit)
    sides = high - low
    rows = tf.concat([low, sides, boxes[:, 4][None]], axis=0)
    return tf.boolean_mask(tf.transpose(rows), tf.reduce_all(sides > 0, axis=0))


def _matrix(a, b, c, d, e, f):
    rows = [[a, b, c], [d, e, f], [0.0, 0.0, 1.0]]
    return tf.stack([tf.stack([tf.cast(v, tf.float32) for v in row]) for row in rows])


def _product(*matrices):
    answer = matrices[0]
    for matrix in matrices[1:]:
        answer = answer @ matrix
    return answer


def published_imgaug():
    """The published recipe as an imgaug augmenter.

    Raises:
        ImportError: If imgaug is not installed or cannot be imported.
    """
    iaa = _imgaug().augmenters
    affine = iaa.Affine(
        scale={"x": (0.9, 1.1), "y": (0.9, 1.1)},
        translate_percent={"x": (-0.2, 0.2), "y": (-0.2, 0.2)},
        rotate=(-180, 180),
        shear=(-5, 5),
        order=[0, 1],
        cval=0,
    )
    return iaa.Sequential([iaa.Sometimes(0.5, affine), iaa.Fliplr(0.5)])


class ImgaugAugmentation:
    """Any imgaug augmenter, for images, boxes and masks together.

    It works on 8-bit images, as imgaug's augmenters expect, on one core.

    Args:
        augmenter: Such as ``imgaug.augmenters.Sequential([...])``; the published
            recipe when None.

    Raises:
        ImportError: If imgaug is not installed or cannot be imported.
        TypeError: If it is no augmenter.
    """

    def __init__(self, augmenter=None):
        self._library = _imgaug()
        augmenter = published_imgaug() if augmenter is None else augmenter
        if not isinstance(augmenter, self._library.augmenters.Augmenter):
            raise TypeError(
                "An augmentation is an imgaug augmenter. "
                f"Received: {type(augmenter).__name__}."
            )
        self._augmenter = augmenter.copy()
        self._lock = threading.Lock()  # seeding and drawing are two steps

    def __call__(self, example: dict, seed) -> dict:
        """The example after the augmenter, seeded by two integers."""
        names = [name for name in ("image", "boxes", "mask") if name in example]
        tensors = [example[name] for name in names]
        types = [tensor.dtype for tensor in tensors]

        def augment(seed, *arrays):
            return self.augment(seed, dict(zip(names, arrays, strict=True)))

        answers = tf.nest.flatten(tf.numpy_function(augment, [seed, *tensors], types))
        for answer, tensor in zip(answers, tensors, strict=True):
            answer.set_shape(tensor.shape if tensor.shape.rank != 2 else [None] * 2)
        return {**example, **dict(zip(names, answers, strict=True))}

    def augment(self, seed, example: dict) -> list:
        """What :meth:`__call__` does, on arrays; the values in the same order."""
        shape = example["image"].shape
        inputs = {"image": np.round(example["image"] * 255).astype(np.uint8)}
        if "boxes" in example:
            inputs["bounding_boxes"] = self._to_imgaug(example["boxes"], shape)
        if "mask" in example:
            inputs["segmentation_maps"] = (
                self._library.augmentables.SegmentationMapsOnImage(
                    example["mask"], shape=shape
                )
            )
        with self._lock:
            self._augmenter.seed_(
                int(np.random.SeedSequence(seed).generate_state(1)[0])
            )
            outputs = self._augmenter(return_batch=True, **_batch(inputs))
        answer = [np.asarray(outputs.images_aug[0], np.float32) / np.float32(255)]
        if "boxes" in example:
            answer.append(_from_imgaug(outputs.bounding_boxes_aug[0]))
        if "mask" in example:
            answer.append(outputs.segmentation_maps_aug[0].get_arr().astype(bool))
        return answer

    def _to_imgaug(self, rows, shape):
        tools = self._library.augmentables
        boxes = [
            tools.BoundingBox(x1=x, y1=y, x2=x + w, y2=y + h, label=index)
            for x, y, w, h, index in rows.tolist()
        ]
        return tools.BoundingBoxesOnImage(boxes, shape=shape)


def _batch(inputs):
    """Lists of one by the names that imgaug has for them."""
    plural = {"image": "images"}
    return {plural.get(name, name): [value] for name, value in inputs.items()}


def _from_imgaug(boxes):
    inside = boxes.remove_out_of_image().clip_out_of_image()
    rows = [(b.x1, b.y1, b.width, b.height, b.label) for b in inside]
    return np.array(rows, np.float32).reshape(-1, 5)


def _imgaug():
    try:
        import imgaug
        import imgaug.augmenters
    except ImportError as error:
        raise ImportError(
            f"imgaug could not be imported ({error}). Install it with "
            "pip install 'kerasloc[imgaug]'. On a bare server its OpenCV lacks "
            "desktop libraries: install libgl1 and libglib2.0-0, or put "
            "opencv-python-headless in the place of opencv-python. Or use the "
            "native augmentation, which needs neither."
        ) from error
    return imgaug


def augmentation(choice):
    """The augmentation that a name or an imgaug augmenter stands for, or None.

    Args:
        choice: ``"affine"`` (the published recipe in TensorFlow), ``"imgaug"`` (the
            same through imgaug), ``"none"`` or None, an imgaug augmenter, or a function
            ``(example, seed) -> example``.

    Raises:
        ValueError: If the name is another.
        TypeError: If it is none of these.
    """
    if choice is None or (isinstance(choice, str) and choice == "none"):
        return None
    if isinstance(choice, str):
        makers = {"affine": AffineFlip, "imgaug": ImgaugAugmentation}
        if choice not in makers:
            raise ValueError(
                f"An augmentation is one of {', '.join(makers)}, none. "
                f"Received: {choice!r}."
            )
        return makers[choice]()
    if type(choice).__module__.startswith("imgaug"):
        return ImgaugAugmentation(choice)
    if callable(choice):
        return choice
    raise TypeError(
        "An augmentation is a name, an imgaug augmenter or a function. "
        f"Received: {type(choice).__name__}."
    )
