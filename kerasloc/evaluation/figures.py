"""Pictures of a run: its history, its confusion matrix, its maps and explanations."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import softmax

from kerasloc.configs import NetworkConfig
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.table import Table
from kerasloc.evaluation.samples import first_of_each_class
from kerasloc.localizers import Localizer
from kerasloc.runs import Run, read_history

DPI = 110
SHOWN = 12


def draw_history(run: Run) -> None:
    """Draw the curves of the training into figures/history.png, if there are any."""
    from kerasloc.plotting import history

    if run.history:
        history(run.history).savefig(run.path("figures/history.png"), dpi=DPI)


def draw_phase(
    run: Run, phase: str, model: Any, network: NetworkConfig, val: Table
) -> None:
    """Draw the pictures of a run of the explainer-classifier after a phase.

    figures/phases.png has the curves of all phases so far;
    figures/explanations-PHASE.png up to 12 validation images, in which the classes
    take turns, with their explanations.

    Args:
        run: Open run, not that of the phase.
        phase: Folder name of the phase that has ended, such as ``phase1-classifier``.
        model: Network with the outputs ``explanation`` and ``logits``.
        network: Its configuration.
        val: Validation images.
    """
    from kerasloc.plotting import explanation_page, phases_figure

    histories = {}
    for path in sorted(run.folder.glob("phase*/history.csv")):
        rows = read_history(path.parent)
        histories[path.parent.name.replace("-", ": ", 1)] = rows
    if any(histories.values()):
        figure = phases_figure(histories)
        figure.savefig(run.path("figures/phases.png"), dpi=DPI)
    title = f"Explanations after {phase}, validation images"
    page = explanation_page(_explanation_rows(model, network, val), title)
    page.savefig(run.path(f"figures/explanations-{phase}.png"), dpi=DPI)


def _explanation_rows(model, network: NetworkConfig, val: Table) -> list:
    """Images of a page with their explanations and probabilities."""
    from kerasloc.plotting import ExplanationRow

    shown = val.subset(first_of_each_class(np.nan_to_num(val.labels))[:SHOWN])
    config = PipelineConfig(network.im_size, network.channels, SHOWN, ("image",))
    images = next(iter(batches(shown, config)))["image"].numpy()
    mean, std = (np.asarray(v, np.float32) for v in (network.mean, network.std))
    outputs = model.predict_on_batch((images - mean) / std)
    probabilities = softmax(np.asarray(outputs["logits"], float), axis=-1)
    names, labels = network.class_names, np.nan_to_num(shown.labels)
    return [
        ExplanationRow(
            image=image,
            explanation=explanation[..., 0],
            probabilities=dict(zip(names, row, strict=True)),
            label=names[label.argmax()] if label.any() else None,
        )
        for image, explanation, row, label in zip(
            images, outputs["explanation"], probabilities, labels, strict=True
        )
    ]


def draw_confusion(
    folder: pathlib.Path, report: Mapping[str, Any], class_names: Sequence[str]
) -> None:
    """Draw confusion.png, for data with one class per image."""
    from kerasloc.plotting import confusion_matrix

    if "confusion" in report:
        figure = confusion_matrix(report["confusion"], class_names)
        figure.savefig(folder / "confusion.png", dpi=DPI)


def draw_pipelines(
    folder: pathlib.Path,
    wrapper: Localizer,
    table: Table,
    count: int,
    options: Mapping[str, Any],
) -> None:
    """Draw pipeline-CLASS-NUMBER.png: every step to the refined map of some images.

    Args:
        folder: Existing folder.
        wrapper: Full model.
        table: Images; the first of every class come first.
        count: Number of images.
        options: Options of :func:`kerasloc.postprocess.pipeline`.
    """
    from kerasloc.data import load_image
    from kerasloc.plotting import pipeline

    network = wrapper.config
    labels = np.nan_to_num(table.labels)
    for row in first_of_each_class(labels)[:count]:
        image = load_image(table.paths[row], network.im_size, network.channels)
        index = int(labels[row].argmax())
        high, low, _ = wrapper.generate_cams(image, index)
        figure = pipeline(image, low, high, **options)
        name = network.class_names[index].replace("/", "-")
        figure.savefig(folder / f"pipeline-{name}-{row}.png", dpi=DPI)
