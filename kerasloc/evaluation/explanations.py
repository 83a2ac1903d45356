"""Evaluation of the explainer-classifier: its predictions and its explanations.

Every estimate has a bootstrap interval over images. The controls of the explanations
are a Gaussian at the center, Grad-CAM of the same classifier, and a random order of
tiles.
"""

import dataclasses
import logging
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.special import log_softmax

from kerasloc import boxes as box_tools
from kerasloc.cams import GradCAM, run
from kerasloc.configs import NetworkConfig, select_fields
from kerasloc.data import config as data_config
from kerasloc.data.synthetic import other_masks
from kerasloc.data.table import Table
from kerasloc.evaluation.configs import STEPS, EvaluationConfig
from kerasloc.evaluation.quantities import (
    EXPLANATION,
    GRADCAM,
    RANDOM,
    Explanations,
    write_explanations,
)
from kerasloc.evaluation.results import ResultTable
from kerasloc.evaluation.samples import (
    boxes_of,
    first_of_each_class,
    read_batches,
    table_of_run,
)
from kerasloc.localizers import Localizer, load
from kerasloc.losses import explanation_loss
from kerasloc.metrics import (
    AopcConfig,
    center_gaussian,
    locate_point,
    morf_curves,
    pompom,
    random_relevance,
)
from kerasloc.runs import read_config

logger = logging.getLogger(__name__)

FIELDS = ("image", "boxes", "mask", "index")
FLAT = 1e-3  # a mean explanation this near to 0 or 1 marks nothing, or everything


@dataclasses.dataclass(frozen=True)
class LossTerm:
    """Explanation loss of a run's training, as in its configuration.

    Attributes:
        loss: ``hybrid`` (with the weak masks) or ``unsupervised``.
        beta: Weight of the mean explanation; the total variation has the rest.
        gamma: Weight of the weak term.
        budget: Share of the pixels that are marked without cost, in [0, 1).
        weak_everywhere: Whether an image without a target has a weak term.
    """

    loss: str = "hybrid"
    beta: float = 0.9
    gamma: float = 1.0
    budget: float = 0.0
    weak_everywhere: bool = False

    def compute(self, explanations: np.ndarray, targets: np.ndarray) -> np.ndarray:
        """Compute the loss of every image, (n,).

        Args:
            explanations: Explanations (n, rows, cols) in [0, 1].
            targets: Masks of the targets, boolean (n, rows, cols).

        Examples:
            >>> explanations = np.full((1, 2, 2), 0.5)
            >>> LossTerm(beta=1.0).compute(explanations, np.ones((1, 2, 2), bool))
            array([0.5], dtype=float32)
        """
        weights = {"beta": self.beta, "gamma": self.gamma, "budget": self.budget}
        plain = np.asarray(explanation_loss(explanations, **weights))
        if self.loss == "unsupervised":
            return plain
        hybrid = np.asarray(explanation_loss(explanations, targets, **weights))
        weak = targets.any(axis=(1, 2)) | self.weak_everywhere
        return np.where(weak, hybrid, plain)


def evaluate_explainer(folder: pathlib.Path, config: EvaluationConfig) -> ResultTable:
    """Evaluate a run of the explainer-classifier, or a phase of one.

    Writes metrics.csv, per_class.csv, evaluation.json and figures.

    Args:
        folder: Folder of the run or the phase.
        config: Options.

    Returns:
        A row for every quantity; see :func:`kerasloc.evaluation.quantities.tabulate`.

    Raises:
        ValueError: If the checkpoint is not ``best``, an image has not exactly one
            class, or the data does not fit.
    """
    if config.checkpoint != "best":
        raise ValueError(
            "Expected the checkpoint best: an explainer-classifier keeps the best "
            f"weights, and those of each phase in a folder. Received: checkpoint "
            f"{config.checkpoint}. Leave it out, or evaluate a phase: --weights "
            "RUN/phase1-classifier."
        )
    recorded = read_config(folder)
    wrapper = load(folder)
    table = table_of_run(folder, wrapper.config, config)
    table.class_index  # noqa: B018 - raises where an image has not exactly one class
    data = data_config.data_of_run(recorded["data"], config.overrides)
    loss = LossTerm(**select_fields(LossTerm, recorded["training"]))
    distractors = distractor_masks(table, data.data_dir)
    explanations = explain(wrapper, table, loss, config, distractors)
    return write_explanations(folder / config.folder, explanations, table, config.split)


def distractor_masks(table: Table, data_dir: str | os.PathLike) -> list[str] | None:
    """List the masks of the objects beside the target, one path per image.

    Args:
        table: Images.
        data_dir: Folder of the data; only synthetic polygons have such masks.

    Returns:
        An empty path for an image without a mask; None where no image has one.
    """
    try:
        masks = other_masks(data_dir)
    except ValueError:  # not polygons
        return None
    paths = [masks.get(path, "") for path in table.paths]
    return paths if any(paths) else None


def explain(
    wrapper: Localizer,
    table: Table,
    loss: LossTerm,
    config: EvaluationConfig,
    distractors: Sequence[str] | None = None,
) -> Explanations:
    """Predict every image of a table, and measure its explanation.

    Args:
        wrapper: Wrapper of an explainer-classifier.
        table: Images; the target of an image is its mask, or else its boxes.
        loss: Explanation loss.
        config: Batch size and number of images for AOPC.
        distractors: Masks of the objects beside the target, one path per image.
    """
    order = first_of_each_class(np.nan_to_num(table.labels))
    drawn = np.isin(np.arange(len(table)), order[: config.aopc_images])
    logits, values, curves = [], [], []
    gradcam = GradCAM(wrapper)
    for batch in _batches(wrapper.config, table, config.batch_size, distractors):
        outputs = run(wrapper.model, wrapper.prepare(batch["image"]))
        explanations = outputs["explanation"][..., 0]
        logits.append(outputs["logits"])
        values.append(_measure(explanations, batch, loss))
        chosen = drawn[batch["index"]]
        if chosen.any():
            seed = int(batch["index"][0])
            images = batch["image"][chosen]
            maps = {
                EXPLANATION: explanations[chosen],
                GRADCAM: np.maximum(gradcam.maps(images), 0),
            }
            curves.append(_curves(wrapper, images, maps, seed))
    combined = _concatenate(values)
    scores = np.concatenate(logits)
    entropy = -log_softmax(scores.astype(float), axis=-1)
    truth = table.class_index
    combined["classification_loss"] = entropy[np.arange(len(truth)), truth]
    _warn_if_flat(combined["explanation"].mean())
    return Explanations(scores, combined, _concatenate(curves))


def _concatenate(batches: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    names = batches[0] if batches else ()
    return {name: np.concatenate([batch[name] for batch in batches]) for name in names}


def _batches(
    network: NetworkConfig,
    table: Table,
    batch_size: int,
    distractors: Sequence[str] | None,
) -> Iterator[dict[str, np.ndarray]]:
    """Yield batches; the masks of the paths ``distractors`` are in them, if any."""
    data = read_batches(network, table, FIELDS, batch_size, "Explaining")
    if distractors is None:
        yield from data
        return
    table = dataclasses.replace(table, masks=np.asarray(distractors))
    masks = read_batches(network, table, ("mask",), batch_size, "Reading masks")
    for batch, beside in zip(data, masks, strict=True):
        yield batch | {"distractors": beside["mask"]}


def _measure(
    explanations: np.ndarray, batch: Mapping[str, np.ndarray], loss: LossTerm
) -> dict[str, np.ndarray]:
    """Measure explanations: one number per image each, NaN where it is undefined."""
    boxes = [boxes_of(padded) for padded in batch["boxes"]]
    targets = target_areas(batch["mask"], boxes)
    present = targets.any(axis=(1, 2), keepdims=True)
    regions = {
        "explanation": np.ones_like(targets),
        "explanation_target": targets,
        "explanation_outside": ~targets & present,
    }
    if "distractors" in batch:
        regions["explanation_others"] = batch["distractors"] & ~targets
        regions["explanation_background"] = ~targets & ~batch["distractors"]
    values = {name: _means(explanations, area) for name, area in regions.items()}
    center = center_gaussian(explanations.shape[1:])
    for name, maps in (
        ("point", explanations),
        ("center_point", [center] * len(boxes)),
    ):
        hits = [locate_point(*pair)[1] for pair in zip(maps, boxes, strict=True)]
        values[name] = np.array(hits, float)  # None, without a box, becomes NaN
    values["pompom"] = pompom(explanations, targets)
    values["explanation_loss"] = loss.compute(explanations, targets)
    return values


def target_areas(masks: np.ndarray, boxes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mask of every image, or the area of its boxes, where it has no mask.

    Args:
        masks: Masks, boolean (n, rows, cols).
        boxes: Boxes x, y, w, h (k, 4) of every image.

    Examples:
        >>> target_areas(np.zeros((1, 2, 3), bool), [np.array([[1, 0, 2, 1]])])
        array([[[False,  True,  True],
                [False, False, False]]])
    """
    boxed = np.stack([box_tools.to_mask(rows, masks.shape[1:]) for rows in boxes])
    return np.where(masks.any(axis=(1, 2), keepdims=True), masks, boxed)


def _means(explanations: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Compute the mean explanation in an area of every image, NaN where it is empty."""
    count = areas.sum(axis=(1, 2))
    total = np.where(areas, explanations, 0).sum(axis=(1, 2), dtype=float)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _curves(
    wrapper: Localizer,
    images: np.ndarray,
    maps: Mapping[str, np.ndarray],
    seed: int,
) -> dict[str, np.ndarray]:
    """Compute MoRF curves (n, L + 1) of the predicted class, by method."""
    config = AopcConfig(steps=STEPS)
    size = images.shape[1:3]
    rng = np.random.default_rng((config.seed, seed))
    control = random_relevance(len(images), size, config.grid, seed=rng)

    def predict(batch: np.ndarray) -> np.ndarray:
        return wrapper.predict_proba(batch, squeeze=False)

    return {
        name: morf_curves(predict, images, relevance, config)
        for name, relevance in {**maps, RANDOM: control}.items()
    }


def is_flat(mean: float) -> bool:
    """Tell whether a mean explanation shows that all are nearly 0, or nearly 1.

    Examples:
        >>> is_flat(0.0001), is_flat(0.5), is_flat(0.9999)
        (True, False, True)
    """
    return not FLAT < mean < 1 - FLAT


def _warn_if_flat(mean: float) -> None:
    if is_flat(mean):
        logger.warning(
            "The explanations of all images are %s everywhere (mean %.4f): they explain"
            " nothing.",
            "black" if mean < 0.5 else "white",
            mean,
        )
