"""Which map finds the object: every method and model, measured by the same code."""

import dataclasses
import logging
import pathlib
import time
import warnings

import numpy as np
from scipy.special import logit
from tqdm import tqdm

from kerasloc.cams import METHODS
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
from kerasloc.training import report
from kerasloc.training.looked import Looked

logger = logging.getLogger(__name__)

OWN, CENTER = "own", "center"
NAMES = (OWN, *METHODS, CENTER)
IOBB = 0.25
STEPS = 20  # tiles that AOPC perturbs
BARELY = 1e-6  # heat of exactly 0 or 1 has no logit
TITLES = {
    "point": "point accuracy",
    "iobb": f"IoBB > {IOBB}",
    "max_box_acc_v2": "MaxBoxAccV2",
    "pxap": "PxAP",
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
        aopc_images: How many of the images AOPC is measured on; 0 for none.
        batch_size: Images at a time.

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
        The maps, and the seconds an image took; the first batch, which compiles, does
        not count when there are more.
    """
    shape = (*looked.images.shape[:3], looked.count)
    maps, seconds = np.zeros(shape, np.float32), []
    starts = range(0, len(looked.images), batch_size)
    for start in tqdm(starts, "Explaining", unit="batch", leave=False):
        images = looked.images[start : start + batch_size]
        lists = [some or [0] for some in looked.classes[start : start + batch_size]]
        most = max(map(len, lists))
        lists = [some + some[:1] * (most - len(some)) for some in lists]
        began = time.perf_counter()
        with warnings.catch_warnings():  # maps that are 0 are counted by the figures
            warnings.filterwarnings("ignore", message=".*heat map is 0")
            heat = method(images, lists)
        seconds.append((time.perf_counter() - began) / len(images))
        for place, some in enumerate(looked.classes[start : start + batch_size]):
            maps[start + place][:, :, some] = heat[place][:, :, : len(some)]
    return maps, float(np.mean(seconds[1:] or seconds))


@dataclasses.dataclass(frozen=True, eq=False)
class Measured:
    """What one method's maps are worth.

    Attributes:
        figures: Value, low and high end of the 95 % interval, by name.
        seconds: An image took.
        pairs: Of an image and a class with boxes.
        threshold: Of MaxBoxAccV2, one for each IoU.
        images: The first with a class, (k, rows, cols, channels).
        maps: Heat maps of these, one class each, (k, rows, cols).
    """

    figures: dict[str, tuple[float, float, float]]
    seconds: float
    pairs: int
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
    found, masks = {}, looked.masks
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
        boxed = box_overlaps(maps, looked.boxes, size).max_box_acc_v2(threshold)
        figures = {
            "point": point_localization(peaks, looked.boxes, size),
            "iobb": iobb_accuracy(_raw(maps), looked.boxes, size, IOBB),
            "max_box_acc_v2": boxed,
            "energy": energy_in_boxes(maps, looked.boxes, size),
        }
        figures = {
            key: (one["weighted"], *one["intervals"]["weighted"])
            for key, one in figures.items()
        }
        pixels = pxap(maps, masks)
        figures["pxap"] = pixels["pooled"], *pixels["intervals"]["pooled"]
        figures["aopc"] = interval(_aopc(wrapper, looked, maps, config))
        shown = looked.shown(SHOWN)
        first = [(looked.classes[place] or [0])[0] for place in shown]
        found[name] = Measured(
            {key: tuple(map(float, figures[key])) for key in TITLES},
            seconds,
            len(boxed["pairs"]),
            boxed["threshold"],
            looked.images[shown],
            maps[shown, :, :, first],
        )
    return found


SHOWN = 6  # images on the page of maps


def rows(found: dict[str, Measured]) -> list[dict]:
    """The table of methods, with 95 % bootstrap intervals over images.

    Args:
        found: By name; of several models ``MODEL: METHOD``.
    """
    return [
        {"method": name, "pairs": one.pairs, "seconds": one.seconds}
        | {
            f"{key}{end}": value
            for key, values in one.figures.items()
            for end, value in zip(("", "_low", "_high"), values, strict=True)
        }
        for name, one in found.items()
    ]


def text(table: list[dict]) -> str:
    """The table for a terminal.

    Args:
        table: As from :func:`rows`.
    """
    width = max(len(row["method"]) for row in table)
    shown = [key for key in TITLES if not np.isnan([r[key] for r in table]).all()]
    head = "  ".join(f"{TITLES[key]:20s}" for key in shown)
    lines = [f"{'':{width}s}  pairs  {head}  seconds an image"]
    for row in table:
        cells = "  ".join(
            f"{row[key]:.3f} [{row[f'{key}_low']:.3f}, {row[f'{key}_high']:.3f}]"
            for key in shown
        )
        name = f"{row['method']:{width}s}  {row['pairs']:5d}"
        lines.append(f"{name}  {cells}  {row['seconds']:8.4f}")
    return "\n".join(lines)


def write(folder, found: dict[str, Measured], looked: Looked, known) -> list[dict]:
    """Writes cams.csv, cams.json, cams.png and maps.png; the rows.

    Args:
        folder: Made when absent.
        found: As for :func:`rows`.
        looked: The images of the first model; the page of maps has all methods that
            were measured on the same, and the middle once.
        known: What cams.json says besides.
    """
    from kerasloc.plotting import method_bars, method_page

    folder, table = pathlib.Path(folder), rows(found)
    folder.mkdir(parents=True, exist_ok=True)
    report.write_csv(folder / "cams.csv", table)
    thresholds = {name: one.threshold for name, one in found.items()}
    everything = {**known, "rows": table, "max_box_acc_v2_thresholds": thresholds}
    report.write_json(folder / "cams.json", everything)
    method_bars(table, TITLES).savefig(folder / "cams.png", dpi=110)
    shown, maps = looked.shown(SHOWN), {}
    for name, one in found.items():
        title = CENTER if name.endswith(f": {CENTER}") else name
        if np.array_equal(one.images, looked.images[shown]):
            maps.setdefault(title, one.maps)
    boxes = [looked.of_first_class(place) for place in shown]
    page = method_page(looked.images[shown], boxes, maps)
    page.savefig(folder / "maps.png", dpi=90)
    return table


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
    """AOPC of the first images' first classes; NaN when there are none."""
    known = [place for place, some in enumerate(looked.classes) if some]
    known = np.array(known[: config.aopc_images], int)
    if not len(known):
        return np.full(1, np.nan)
    classes = np.array([looked.classes[place][0] for place in known])

    def predict(images):
        return wrapper.predict_proba(images, squeeze=False)

    curves = morf_curves(
        predict,
        looked.images[known],
        maps[known, :, :, classes],
        config.aopc,
        classes,
    )
    return aopc(curves)
