"""What an explainer-classifier says and what its explanations are worth, measured.

Images are answered batch by batch; of each only numbers are kept. Every figure has a
bootstrap interval over images, and beside the explanations stand controls: a bump in
the middle, Grad-CAM of the same classifier, a random order of tiles.
"""

import dataclasses
import logging
import pathlib
from collections.abc import Iterator

import keras
import numpy as np
from scipy.special import softmax
from tqdm import tqdm

from kerasloc import boxes as box_tools
from kerasloc import weights as weight_files
from kerasloc.cams import FeatureGradient, GradCAM, run
from kerasloc.configs import select_fields
from kerasloc.data import config as data_config
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.synthetic import other_masks
from kerasloc.evaluation import explanation_tables as explainer_report
from kerasloc.evaluation.results import ResultTable
from kerasloc.evaluation.samples import (
    EvaluationConfig,
    first_of_each_class,
    table_of_run,
)
from kerasloc.losses import explanation_loss
from kerasloc.metrics import (
    AopcConfig,
    center_gaussian,
    locate_point,
    morf_curves,
    pompom,
    random_relevance,
)
from kerasloc.models.explainer import deepest, explainer_classifier
from kerasloc.models.folding import fold
from kerasloc.runs import read_config, read_network

logger = logging.getLogger(__name__)

FIELDS = ("image", "boxes", "mask", "index")
STEPS = 20  # of AOPC, of the 64 tiles of an image
FLAT = 1e-3  # a mean explanation this near to 0 or 1 marks nothing, or everything


@dataclasses.dataclass(frozen=True)
class ExplanationTerm:
    """Explanation loss of a run's training, as recorded in its configuration."""

    loss: str = "hybrid"
    beta: float = 0.9
    gamma: float = 1.0
    budget: float = 0.0
    weak_everywhere: bool = False


def evaluate_explainer(folder: pathlib.Path, config: EvaluationConfig) -> ResultTable:
    """Measure a run of the explainer-classifier, or a phase of one.

    Args:
        folder: Folder of the run or the phase.
        config: Options.

    Returns:
        A table of quantities.

    Raises:
        ValueError: If the checkpoint is not ``best``, or the data does not fit.
    """
    if config.checkpoint != "best":
        raise ValueError(
            "An explainer-classifier keeps the best weights, and those of each phase "
            f"in a folder. Received: checkpoint {config.checkpoint}. Leave it out, "
            "or evaluate a phase: --weights RUN/phase1-classifier."
        )
    network, recorded = read_network(folder), read_config(folder)
    table = table_of_run(folder, network, config)
    table.class_index  # noqa: B018 - refuses images that have not exactly one class
    model = _model(folder, network)
    data_dir = data_config.data_of_run(recorded["data"], config.overrides).data_dir
    training = ExplanationTerm(**select_fields(ExplanationTerm, recorded["training"]))
    measure = {
        "others": masks_of_others(table, data_dir),
        "training": training,
        "drawn": _drawn(table, config.aopc_images),
        "batch_size": config.batch_size,
    }
    found = explain(model, network, table, measure)
    place = folder / config.folder
    measured = explainer_report.write(place, found, table, config.split)
    return ResultTable.from_rows(measured, {"images": "images", "value": "value"})


def _model(folder, network) -> keras.Model:
    """The network with its best weights."""
    model = explainer_classifier(
        network.input_shape, network.num_classes, **network.options
    )
    model = fold(model) if network.folded else model
    best = weight_files.weights_of_run(folder)
    weight_files.assign(model, weight_files.read_arrays(best), source=str(best))
    return model


def masks_of_others(table, folder):
    """Paths of the masks of other objects, one per image; None where none is known.

    Args:
        table: The images.
        folder: Of the data; synthetic polygons have such masks.
    """
    try:
        known = other_masks(folder)
    except ValueError:  # no polygons
        return None
    paths = [known.get(path, "") for path in table.paths]
    return paths if any(paths) else None


def _drawn(table, most: int) -> np.ndarray:
    """Which images AOPC is measured on, boolean (n,); the classes take turns."""
    drawn = np.zeros(len(table), bool)
    drawn[first_of_each_class(np.nan_to_num(table.labels))[:most]] = True
    return drawn


def explain(model, network, table, measure: dict) -> explainer_report.Explained:
    """Answers every image of a table, and measures the explanation.

    Args:
        model: With outputs ``explanation`` and ``logits``.
        network: Its :class:`~kerasloc.configs.NetworkConfig`.
        table: Images; the target of one is its mask, or else its boxes.
        measure: ``others``: as of :func:`masks_of_others`; ``training``: an
            :class:`~kerasloc.training.configs.ExplainerTraining`, whose explanation
            loss is measured; ``drawn``: the images for AOPC, boolean (n,);
            ``batch_size``.
    """
    asked = _Asked(model, network, measure["batch_size"])
    parts, curves = [], []
    for batch in _batches(network, table, measure):
        answers = asked.answers(batch["image"])
        each = _numbers(answers["explanation"], batch, measure["training"])
        parts.append({"logits": answers["logits"], **each})
        drawn = measure["drawn"][batch["index"]]
        if drawn.any():
            some = {name: values[drawn] for name, values in answers.items()}
            seed = int(batch["index"][0])
            curves.append(asked.curves(batch["image"][drawn], some, seed))
    each = _together(parts)
    found = explainer_report.Explained(each.pop("logits"), each, _together(curves))
    _warn_of_flat(found)
    return found


def _together(parts: list[dict]) -> dict[str, np.ndarray]:
    names = parts[0] if parts else ()
    return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _batches(network, table, measure: dict) -> Iterator[dict]:
    """Images in [0, 1] with boxes, masks and masks of others, behind a bar."""
    size = measure["batch_size"]
    config = PipelineConfig(network.im_size, network.channels, size, FIELDS)
    others = [None] * -(-len(table) // size)
    if measure["others"] is not None:
        own = dataclasses.replace(table, masks=measure["others"])
        only = dataclasses.replace(config, fields=("mask",))
        others = (each["mask"].numpy() for each in batches(own, only))
    data = zip(batches(table, config), others, strict=True)
    count = -(-len(table) // size)
    for tensors, other in tqdm(data, "Explaining", count, unit="batch", leave=False):
        batch = {key: value.numpy() for key, value in tensors.items()}
        yield batch | {"others": other}


def _numbers(explanations, batch: dict, training) -> dict[str, np.ndarray]:
    """One number per image each; see ``explainer_report.Explained``."""
    boxes = [own[own[:, 4] >= 0, :4] for own in batch["boxes"]]
    targets = _targets(batch["mask"], boxes)
    there = targets.any(axis=(1, 2))
    regions = {
        "explanation": np.ones_like(targets),
        "explanation_target": targets,
        "explanation_outside": ~targets & there[:, None, None],
    }
    if batch["others"] is not None:
        regions["explanation_others"] = batch["others"] & ~targets
        regions["explanation_background"] = ~targets & ~batch["others"]
    each = {name: _means(explanations, where) for name, where in regions.items()}
    middle = center_gaussian(explanations.shape[1:])
    points = {"point": explanations, "center_point": [middle] * len(boxes)}
    for name, maps in points.items():
        hits = [locate_point(*pair)[1] for pair in zip(maps, boxes, strict=True)]
        each[name] = np.array(hits, float)  # None, without a box, is NaN
    losses = _losses(explanations, targets, training)
    return {**each, "pompom": pompom(explanations, targets), "explanation_loss": losses}


def _targets(masks, boxes) -> np.ndarray:
    """The mask of every image, or what its boxes cover, boolean (n, rows, cols)."""
    boxed = np.stack([box_tools.to_mask(own, masks.shape[1:]) for own in boxes])
    return np.where(masks.any(axis=(1, 2))[:, None, None], masks, boxed)


def _means(explanations, where) -> np.ndarray:
    """Mean explanation in a region of every image, NaN where it is empty."""
    count = where.sum(axis=(1, 2))
    total = np.where(where, explanations, 0).sum(axis=(1, 2), dtype=float)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _losses(explanations, targets, training) -> np.ndarray:
    """The explanation loss of every image, as it was in training."""
    own = {"beta": training.beta, "gamma": training.gamma, "budget": training.budget}
    plain = np.asarray(explanation_loss(explanations, **own))
    if training.loss == "unsupervised":
        return plain
    hybrid = np.asarray(explanation_loss(explanations, targets, **own))
    weak = targets.any(axis=(1, 2)) | training.weak_everywhere
    return np.where(weak, hybrid, plain)


class _Asked:
    """A network that is asked about images in [0, 1].

    Args:
        model: With outputs ``explanation`` and ``logits``.
        network: Its normalization.
        batch_size: Images at a time.
    """

    def __init__(self, model, network, batch_size: int):
        features = model.get_layer(deepest(model)).output
        self._every = keras.Model(model.input, {**model.output, "features": features})
        head = keras.Model([features], {"logits": model.output["logits"]})
        self._gradient = FeatureGradient(head)
        self._mean, self._std = np.float32(network.mean), np.float32(network.std)
        self._size = batch_size

    def answers(self, images) -> dict[str, np.ndarray]:
        """Explanations (n, rows, cols), logits, and the deepest features."""
        answer = run(self._every, (images - self._mean) / self._std)
        return answer | {"explanation": answer["explanation"][..., 0]}

    def predict(self, images) -> np.ndarray:
        """Probabilities (n, classes)."""
        starts = range(0, len(images), self._size)
        parts = [self.answers(images[at : at + self._size])["logits"] for at in starts]
        return softmax(np.concatenate(parts).astype(float), axis=-1)

    def curves(self, images, answers: dict, seed: int) -> dict[str, np.ndarray]:
        """MoRF curves (n, 21) of the predicted class, by method.

        Args:
            images: In [0, 1].
            answers: Of these images.
            seed: Of the random order.
        """
        config, features = AopcConfig(steps=STEPS), answers["features"]
        _, gradients = self._gradient([features], np.full(len(images), -1))
        own = config.seed, seed
        size = images.shape[1:3]
        maps = {
            explainer_report.EXPLANATION: answers["explanation"],
            explainer_report.GRADCAM: np.maximum(
                GradCAM.combine(features, gradients), 0
            ),
            explainer_report.RANDOM: random_relevance(
                len(images), size, config.grid, seed=own
            ),
        }
        return {
            name: morf_curves(self.predict, images, relevance, config)
            for name, relevance in maps.items()
        }


def is_flat(mean: float) -> bool:
    """Tell whether a mean explanation shows that all are nearly 0, or nearly 1."""
    return not FLAT < mean < 1 - FLAT


def _warn_of_flat(found: explainer_report.Explained):
    """Warns of explanations that are 0, or 1, everywhere."""
    mean = found.each["explanation"].mean()
    if is_flat(mean):
        logger.warning(
            "The explanations of all images are %s everywhere (mean %.4f): they explain"
            " nothing.",
            "black" if mean < 0.5 else "white",
            mean,
        )
