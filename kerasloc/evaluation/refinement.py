"""How good a model's classes and maps are, on images it has not learned from.

Localization asks, for every image and each of its classes with a mask or boxes: does
the map of that class (the true one, whatever the prediction) peak on it, and how far do
they overlap? Next to the maps stand controls, which know less than the map does: a
trustworthy map beats them.
"""

import dataclasses
import logging
import warnings

import numpy as np
from tqdm import tqdm

from kerasloc import boxes as box_tools
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.metrics import (
    center_gaussian,
    classification_report,
    interval,
    iou_curve,
    min_max,
    multi_label_report,
    paired_difference,
    point_hits,
    resize_maps,
)
from kerasloc.models.hrcam import CLASSIFIER
from kerasloc.postprocess import pipeline
from kerasloc.postprocess.edges import blur

logger = logging.getLogger(__name__)

THRESHOLDS = np.arange(100) / 100
UNTUNED = 0.5
REFINEMENTS = {
    "refined": {},
    "refined, confined": {"confine_to_roi": True},
    "refined, confined, wide": {
        "confine_to_roi": True,
        "roi_percentile": 60,
        "merge_alpha": 0.2,
    },
}
GRAY = (0.299, 0.587, 0.114)


def classify(wrapper, table, batch_size: int = 32) -> dict:
    """The classification report of a wrapper on a table.

    Args:
        wrapper: A HalfModel or FullModel.
        table: Its classes in the wrapper's order.
        batch_size: Images at a time.
    """
    config = _config(wrapper, ("image",), batch_size)
    bar = _bar(batches(table, config), "Classifying", len(table), batch_size)
    probabilities = np.concatenate(
        [wrapper.predict_proba(e["image"], squeeze=False) for e in bar]
    )
    names = wrapper.config.class_names
    if wrapper.config.multi_label:
        return multi_label_report(table.labels, probabilities, names)
    return classification_report(table.class_index, probabilities, names)


@dataclasses.dataclass(frozen=True)
class Measured:
    """One kind of map over all pairs of an image and a class.

    Attributes:
        hits: Whether the maximum lies on the object, (pairs,).
        curves: IoU at every threshold, (pairs, thresholds).
    """

    hits: np.ndarray
    curves: np.ndarray


def localize(wrapper, table, options: dict, batch_size: int = 32) -> dict:
    """Every kind of map of a wrapper, measured: name to :class:`Measured`.

    Args:
        wrapper: A HalfModel or FullModel.
        table: Images; those without a mask or box are passed over.
        options: Name of a refinement to its options of the pipeline.
        batch_size: Images at a time.

    Returns:
        Empty if no image has a mask or box.
    """
    images, classes = annotated_pairs(table)
    if not len(images):
        return {}
    config = _config(wrapper, ("image", "labels", "boxes", "mask"), batch_size)
    data = batches(table.subset(images), config)
    parts, start = {}, 0
    for tensors in _bar(data, "Localizing", len(images), batch_size):
        element = {key: value.numpy() for key, value in tensors.items()}
        chosen = classes[start : start + len(element["image"])]
        start += len(chosen)
        truth = target_masks(element, chosen)
        for name, heat in heat_maps(wrapper, element["image"], chosen, options).items():
            measured = point_hits(heat, truth), iou_curve(heat, truth, THRESHOLDS)
            parts.setdefault(name, []).append(measured)
    return {
        name: Measured(*(np.concatenate(values) for values in zip(*each, strict=True)))
        for name, each in parts.items()
    }


def annotated_pairs(table) -> tuple[np.ndarray, np.ndarray]:
    """Image and class indices of what can be localized, (pairs,) each.

    A box belongs to its own class; a mask to the one class of its image.
    """
    pairs = {(int(row[0]), int(row[5])) for row in table.boxes}
    masked = np.flatnonzero((table.masks != "") & (np.nansum(table.labels, 1) == 1))
    pairs |= {(int(i), int(np.nanargmax(table.labels[i]))) for i in masked}
    pairs = np.array(sorted(pairs), int).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def heat_maps(wrapper, images, classes, options) -> dict[str, np.ndarray]:
    """Every kind of map and control in [0, 1] at the image's size, by name.

    Args:
        wrapper: A HalfModel or FullModel.
        images: (n, rows, cols, channels) in [0, 1].
        classes: One per image.
        options: Name of a refinement to its options.
    """
    outputs = wrapper.model.predict_on_batch(images)
    kernel = wrapper.model.get_layer(CLASSIFIER).get_weights()[0]
    size = images.shape[1:3]

    def weigh(name, columns):
        return np.einsum("nrck,nk->nrc", np.asarray(outputs[name]), columns)

    own = kernel.T[classes]
    other = kernel.T[(classes + 1) % kernel.shape[1]]
    noise = np.random.default_rng(0).normal(size=own.shape)
    low = weigh("low_features", own)
    raw = {"low": low, "low, another class": weigh("low_features", other)}
    refined = {}
    if "high_features" in outputs:
        high = weigh("high_features", own)
        for name, maps in (
            ("high", high),
            ("high, another class", weigh("high_features", other)),
            ("high, random weights", weigh("high_features", noise)),
        ):
            raw[name] = maps
            raw[f"{name}, blurred"] = np.stack([blur(one) for one in maps])
        gray = images @ GRAY if images.shape[-1] == 3 else images[..., 0]
        for name, choice in options.items():
            refined[name] = refine(images, low, high, choice)
            refined[f"{name}, gray image as high"] = refine(images, low, gray, choice)
    heat = {name: min_max(resize_maps(maps, size)) for name, maps in raw.items()}
    centre = np.broadcast_to(center_gaussian(size), low.shape[:1] + size)
    return heat | refined | {"constant centre": centre}


def refine(images, low, high, options) -> np.ndarray:
    """The refined maps of a batch in [0, 1]; 0 where the low map is flat."""
    answer = np.zeros(images.shape[:3])
    for index, (image, coarse, fine) in enumerate(zip(images, low, high, strict=True)):
        if np.ptp(coarse) > 0:
            with warnings.catch_warnings(action="ignore", category=UserWarning):
                answer[index] = pipeline(image, coarse, fine, **options)["merged"]
    return min_max(answer)


def localization_rows(test: dict, val: dict) -> list[dict]:
    """A row for every kind of map, with 95 % bootstrap intervals over the pairs.

    Args:
        test: From :func:`localize`, on test images.
        val: The same on validation images: the one threshold of each kind of map is
            the best there; 0.5 for all when there are none.

    Returns:
        Dicts of ``map, threshold, tuned, count, point, point_low, point_high, iou,
        iou_low, iou_high`` and the IoU's paired difference to the low map,
        ``gain, gain_low, gain_high``.
    """
    rows, reference = [], None
    for name, measured in test.items():
        curves = val[name].curves if name in val else np.empty((0, len(THRESHOLDS)))
        curves = curves[~np.isnan(curves).any(axis=1)]  # images with an object
        index = int(np.searchsorted(THRESHOLDS, UNTUNED))
        if len(curves):
            index = int(curves.mean(axis=0).argmax())
        ious = measured.curves[:, index]
        reference = ious if reference is None else reference
        row = {
            "map": name,
            "threshold": float(THRESHOLDS[index]),
            "tuned": len(curves) > 0,
            "count": int(np.isfinite(ious).sum()),
        }
        for key, values in (
            ("point", interval(measured.hits)),
            ("iou", interval(ious)),
            ("gain", paired_difference(ious, reference)),
        ):
            names = (key, f"{key}_low", f"{key}_high")
            row |= dict(zip(names, map(float, values), strict=True))
        rows.append(row)
    return rows


def target_masks(element, classes) -> np.ndarray:
    """Where the object of each pair is, boolean (n, rows, cols)."""
    size = element["image"].shape[1:3]
    labels = np.nan_to_num(element["labels"])
    own = labels[np.arange(len(classes)), classes] * labels.sum(axis=1) == 1
    boxed = [
        box_tools.to_mask(rows[rows[:, 4] == index, :4], size)
        for rows, index in zip(element["boxes"], classes, strict=True)
    ]
    masked = own & element["mask"].any(axis=(1, 2))  # a mask is of its image's class
    return np.where(masked[:, None, None], element["mask"], np.stack(boxed))


def _config(wrapper, fields, batch_size):
    network = wrapper.config
    return PipelineConfig(
        size=network.im_size,
        channels=network.channels,
        batch_size=batch_size,
        fields=fields,
    )


def _bar(data, title, count, batch_size):
    return tqdm(data, title, -(-count // batch_size), unit="batch", leave=False)
