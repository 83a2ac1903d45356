"""Augmenters of imgaug as augmentations of examples."""

import threading
from typing import Any

import numpy as np
import tensorflow as tf

from kerasloc.data.augment.geometry import Example

MASKS = ("mask", "class_masks")


def published_imgaug() -> Any:
    """The published recipe of HRCAM as an imgaug augmenter."""
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
        augmenter: Augmenter such as ``imgaug.augmenters.Sequential([...])``; the
            published recipe when None.

    Raises:
        ImportError: If imgaug cannot be imported.
        TypeError: If it is not an augmenter.
    """

    def __init__(self, augmenter: Any = None) -> None:
        self._library = imgaug_library()
        augmenter = published_imgaug() if augmenter is None else augmenter
        if not isinstance(augmenter, self._library.augmenters.Augmenter):
            received = type(augmenter).__name__
            raise TypeError(f"Expected augmenter of imgaug. Received: {received}.")
        self._augmenter = augmenter.copy()
        self._lock = threading.Lock()  # seeding and drawing are two steps

    def __call__(self, example: Example, seed: tf.Tensor) -> Example:
        """Augment the example, seeded by two integers."""
        names = [name for name in ("image", "boxes", *MASKS) if name in example]
        tensors = [example[name] for name in names]
        types = [tensor.dtype for tensor in tensors]

        def augment(seed, *arrays):
            return self.augment(seed, dict(zip(names, arrays, strict=True)))

        results = tf.nest.flatten(tf.numpy_function(augment, [seed, *tensors], types))
        for result, tensor in zip(results, tensors, strict=True):
            result.set_shape(tensor.shape if tensor.shape.rank != 2 else [None] * 2)
        return {**example, **dict(zip(names, results, strict=True))}

    def augment(
        self, seed: np.ndarray, example: dict[str, np.ndarray]
    ) -> list[np.ndarray]:
        """Augment the image, boxes and masks of an example, in this order."""
        shape, tools = example["image"].shape, self._library.augmentables
        inputs = {"images": [np.round(example["image"] * 255).astype(np.uint8)]}
        if "boxes" in example:
            boxes = [
                tools.BoundingBox(x1=x, y1=y, x2=x + w, y2=y + h, label=index)
                for x, y, w, h, index in example["boxes"].tolist()
            ]
            inputs["bounding_boxes"] = [tools.BoundingBoxesOnImage(boxes, shape)]
        masks = [example[name] for name in MASKS if name in example]
        if masks:
            maps = np.concatenate([np.atleast_3d(mask) for mask in masks], axis=-1)
            maps = tools.SegmentationMapsOnImage(maps.astype(bool), shape)
            inputs["segmentation_maps"] = [maps]
        entropy = np.asarray(seed, np.int64).view(np.uint64)  # split seeds may be < 0
        state = np.random.SeedSequence(entropy.tolist()).generate_state(1)
        with self._lock:
            self._augmenter.seed_(int(state[0]))
            outputs = self._augmenter(return_batch=True, **inputs)
        results = [np.asarray(outputs.images_aug[0], np.float32) / np.float32(255)]
        if "boxes" in example:
            inside = outputs.bounding_boxes_aug[0].remove_out_of_image()
            inside = inside.clip_out_of_image()
            rows = [(b.x1, b.y1, b.width, b.height, b.label) for b in inside]
            results.append(np.array(rows, np.float32).reshape(-1, 5))
        if masks:
            maps = outputs.segmentation_maps_aug[0].get_arr().astype(bool)
            ends = np.cumsum([np.atleast_3d(mask).shape[-1] for mask in masks])
            split = np.split(maps, ends[:-1], axis=-1)
            pairs = zip(split, masks, strict=True)
            results += [m if mask.ndim == 3 else m[..., 0] for m, mask in pairs]
        return results


def imgaug_library() -> Any:
    """Import imgaug with its augmenters, or raise an ImportError that helps."""
    try:
        import imgaug
        import imgaug.augmenters
    except ImportError as error:
        raise ImportError(
            f"imgaug cannot be imported ({error}). Use pip install kerasloc[imgaug]; "
            "on a bare server install libgl1 and libglib2.0-0, too, or replace "
            "opencv-python by opencv-python-headless. Or use a native augmentation."
        ) from error
    return imgaug
