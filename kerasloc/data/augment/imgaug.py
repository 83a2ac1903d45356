"""Any augmenter of imgaug as an augmentation of ours."""

import threading

import numpy as np
import tensorflow as tf

MASKS = ("mask", "class_masks")


def published_imgaug():
    """The published recipe as an imgaug augmenter.

    Raises:
        ImportError: If imgaug is not installed or cannot be imported.
    """
    iaa = imgaug_library().augmenters
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
        self._library = imgaug_library()
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
        names = [name for name in ("image", "boxes", *MASKS) if name in example]
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
        masks = [example[name] for name in MASKS if name in example]
        if masks:
            maps = np.concatenate([np.atleast_3d(one) for one in masks], axis=-1)
            augmentables = self._library.augmentables
            inputs["segmentation_maps"] = augmentables.SegmentationMapsOnImage(
                maps.astype(bool), shape=shape
            )
        with self._lock:
            whole = np.asarray(seed, np.int64).view(
                np.uint64
            )  # split ones are < 0, too
            entropy = np.random.SeedSequence(whole.tolist()).generate_state(1)
            self._augmenter.seed_(int(entropy[0]))
            outputs = self._augmenter(return_batch=True, **_batch(inputs))
        answer = [np.asarray(outputs.images_aug[0], np.float32) / np.float32(255)]
        if "boxes" in example:
            answer.append(_from_imgaug(outputs.bounding_boxes_aug[0]))
        if masks:
            maps = outputs.segmentation_maps_aug[0].get_arr().astype(bool)
            ends = np.cumsum([np.atleast_3d(one).shape[-1] for one in masks])
            parts = np.split(maps, ends[:-1], axis=-1)
            answer += [
                part[..., 0] if one.ndim == 2 else part
                for part, one in zip(parts, masks, strict=True)
            ]
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


def imgaug_library():
    """The module imgaug, with its augmenters.

    Raises:
        ImportError: If it is not installed or cannot be imported.
    """
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
