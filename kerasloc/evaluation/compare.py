"""Which map finds the object: every method and model, measured by the same code."""

import dataclasses
import logging
import time
import warnings

import numpy as np
from scipy.special import logit
from tqdm import tqdm

from kerasloc.cams import METHODS
from kerasloc.evaluation.samples import Looked
from kerasloc.metrics import (
    AopcConfig,
    aopc,
    center_gaussian,
    energy_in_boxes,
    interval,
    iobb_accuracy,
    morf_curves,
    point_localization,
    pxap,
)
from kerasloc.metrics.wsol import box_overlaps

logger = logging.getLogger(__name__)

OWN, CENTER = "own", "center"
NAMES = (OWN, *METHODS, CENTER)
IOBB = 0.25
STEPS = 20  # tiles that AOPC perturbs
SHOWN = 6  # images on the page of maps
BARELY = 1e-6  # heat of exactly 0 or 1 has no logit
TITLES = {
    "point": "point accuracy",
    "iobb": f"IoBB > {IOBB}",
    "max_box_acc_v2": "MaxBoxAccV2",
    "pxap": "PxAP in boxes",
    "energy": "energy in boxes",
    "aopc": "AOPC",
}


@dataclasses.dataclass(frozen=True)
class CamComparison:
    """What is compared, and how.

    Attributes:
        methods: Some of ``own``, the model's own heat maps; the methods of
            :func:`kerasloc.cam`; and ``center``, a Gaussian in the middle of every
            image, the row to beat. All that go with the model when empty.
        layer: That the methods look at; the wrapper's own when None.
        aopc: How images are perturbed.
        aopc_images: How many of the images with boxes AOPC is measured on, drawn, one
            class of each; 0 for none.
        batch_size: Images at a time.
        seed: Of what is drawn: these images, and those of the bootstrap.

    Raises:
        ValueError: If a value is none of these.
    """

    methods: tuple[str, ...] = ()
    layer: str | None = None
    aopc: AopcConfig = dataclasses.field(
        default_factory=lambda: AopcConfig(steps=STEPS)
    )
    aopc_images: int = 32
    batch_size: int = 8
    seed: int = 0

    def __post_init__(self):
        """Check the values."""
        object.__setattr__(self, "methods", tuple(dict.fromkeys(self.methods)))
        unknown = [name for name in self.methods if name not in NAMES]
        if unknown:
            raise ValueError(
                f"Methods are among {', '.join(NAMES)}. Received: {unknown}."
            )
        if self.batch_size < 1 or self.aopc_images < 0:
            raise ValueError(
                "batch_size is positive, aopc_images not negative. Received: "
                f"{self.batch_size}, {self.aopc_images}."
            )


def methods_of(wrapper, config: CamComparison) -> dict:
    """Functions from images and lists of classes to heat maps, by method.

    Args:
        wrapper: Of any family.
        config: What is compared.

    Raises:
        ValueError: If an asked method does not go with the model.
    """
    found = {}
    for name in config.methods or NAMES:
        if name == OWN:
            found[name] = lambda images, lists: _own(wrapper, images, lists)
        elif name == CENTER:
            found[name] = _center
        else:
            try:
                found[name] = METHODS[name](wrapper, config.layer)
            except ValueError as error:
                if config.methods or name != "cam":
                    raise
                logger.info("Without cam: %s", error)
    return found


def maps_of(method, looked: Looked, batch_size: int) -> tuple[np.ndarray, float]:
    """Heat maps (n, rows, cols, classes), 0 for classes that are not of an image.

    Args:
        method: Of :func:`methods_of`.
        looked: Images and their classes.
        batch_size: Images at a time.

    Returns:
        The maps, and the seconds an image took, the median over batches; the first,
        which compiles, does not count, and is done again when it is the only one.
    """
    shape = (*looked.images.shape[:3], looked.count)
    maps, seconds = np.zeros(shape, np.float32), []
    starts = list(range(0, len(looked.images), batch_size))
    starts = [0, *starts] if len(starts) == 1 else starts
    for start in tqdm(starts, "Explaining", unit="batch", leave=False):
        images = looked.images[start : start + batch_size]
        lists = [some or [0] for some in looked.classes[start : start + batch_size]]
        most = max(map(len, lists))
        lists = [some + some[:1] * (most - len(some)) for some in lists]
        began = time.perf_counter()
        with warnings.catch_warnings():  # maps that are 0 are counted
            warnings.filterwarnings("ignore", message=".*heat map is 0")
            heat = method(images, lists)
        seconds.append((time.perf_counter() - began) / len(images))
        for place, some in enumerate(looked.classes[start : start + batch_size]):
            maps[start + place][:, :, some] = heat[place][:, :, : len(some)]
    return maps, float(np.median(seconds[1:]))


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What one method's maps are worth.

    Attributes:
        figures: Value, low and high end of the 95 % interval, by name.
        seconds: An image took.
        pairs: Of an image and a class with boxes.
        empty: Of these, pairs whose map is 0 throughout.
        aopc_images: That AOPC is of.
        threshold: Of MaxBoxAccV2, one for each IoU.
        images: Some, (k, rows, cols, channels).
        maps: Heat maps of these, one class each, (k, rows, cols).
    """

    figures: dict[str, tuple[float, float, float]]
    seconds: float
    pairs: int
    empty: int
    aopc_images: int
    threshold: np.ndarray
    images: np.ndarray
    maps: np.ndarray


def compare(
    wrapper, looked: Looked, config: CamComparison, tuning: Looked | None = None
) -> dict[str, Measured]:
    """Every method on the same images, by name.

    Args:
        wrapper: Of any family.
        looked: Images with boxes.
        config: What is compared.
        tuning: Other images, on which the thresholds of MaxBoxAccV2 are chosen; when
            None they are the best on the measured images, as published.
    """
    found, masks, seed = {}, looked.masks, config.seed
    places, classes = looked.spread(SHOWN, seed)
    for name, method in methods_of(wrapper, config).items():
        logger.info("%s: %d images", name, len(looked.images))
        threshold, size = None, looked.images.shape[1:3]
        if tuning is not None:
            other, _ = maps_of(method, tuning, config.batch_size)
            found_there = box_overlaps(other, tuning.boxes, size)
            threshold = found_there.max_box_acc_v2()["threshold"]
        maps, seconds = maps_of(method, looked, config.batch_size)
        peaks = _unsaturated(wrapper, looked, config) if name == OWN else None
        peaks = maps if peaks is None else peaks
        overlaps = box_overlaps(maps, looked.boxes, size)
        boxed = overlaps.max_box_acc_v2(threshold, seed=seed)
        figures = {
            "point": point_localization(peaks, looked.boxes, size, seed=seed),
            "iobb": iobb_accuracy(_raw(maps), looked.boxes, size, IOBB, seed=seed),
            "max_box_acc_v2": boxed,
            "energy": energy_in_boxes(maps, looked.boxes, size, seed=seed),
        }
        figures = {
            key: (one["weighted"], *one["intervals"]["weighted"])
            for key, one in figures.items()
        }
        pixels = pxap(maps, masks, seed=seed)
        figures["pxap"] = pixels["pooled"], *pixels["intervals"]["pooled"]
        each = _aopc(wrapper, looked, maps, config)
        figures["aopc"] = interval(each if len(each) else [np.nan], seed=seed)
        empty = [not maps[place, :, :, index].any() for place, index in looked.pairs]
        found[name] = Measured(
            {key: tuple(map(float, figures[key])) for key in TITLES},
            seconds,
            len(boxed["pairs"]),
            sum(empty),
            len(each),
            boxed["threshold"],
            looked.images[places],
            maps[places, :, :, classes],
        )
    return found


def _own(wrapper, images, lists):
    """A wrapper's heat maps (n, rows, cols, k) of lists of classes."""
    needed, places = np.unique(lists, return_inverse=True)
    heat = wrapper.heatmaps(images, needed.tolist(), squeeze=False)
    places = places.reshape(np.shape(lists))
    return np.stack([one[:, :, at] for one, at in zip(heat, places, strict=True)])


def _unsaturated(wrapper, looked: Looked, config: CamComparison):
    """Raw maps (n, rows, cols, classes) of networks that have them, or None.

    Their heat maps, probabilities or soft masks, are 1 at many places, of which none is
    the highest.
    """
    if "maps" not in getattr(wrapper, "outputs", ()):
        return None
    starts = range(0, len(looked.images), config.batch_size)
    parts = [looked.images[start : start + config.batch_size] for start in starts]
    return np.concatenate([wrapper.maps(one, squeeze=False) for one in parts])


def _center(images, lists):
    """A Gaussian in the middle for every class."""
    shape = (*images.shape[:3], len(lists[0]))
    return np.broadcast_to(center_gaussian(images.shape[1:3])[..., None], shape)


def _raw(heat):
    """Maps of which the sigmoid is this heat."""
    return logit(np.clip(heat, BARELY, 1 - BARELY))


def _aopc(wrapper, looked: Looked, maps, config: CamComparison) -> np.ndarray:
    """AOPC of some images, one class each."""
    places, classes = looked.spread(config.aopc_images, config.seed)
    if not len(places):
        return np.empty(0)

    def predict(images):
        return wrapper.predict_proba(images, squeeze=False)

    curves = morf_curves(
        predict,
        looked.images[places],
        maps[places, :, :, classes],
        dataclasses.replace(config.aopc, seed=config.seed),
        classes,
    )
    return aopc(curves)
