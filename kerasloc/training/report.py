"""Pictures and tables that a run leaves behind, as text, csv, json and figures."""

import csv
import json

import numpy as np

from kerasloc.io import write_text
from kerasloc.runs import Run

SCORES = (
    "accuracy",
    "precision_macro",
    "precision_micro",
    "recall_macro",
    "recall_micro",
    "f1_macro",
    "f1_micro",
    "top_5",
    "auroc_macro",
    "auroc_micro",
    "auroc_weighted",
    "average_precision_macro",
)


def draw_history(run: Run):
    """Writes figures/history.png: the curves of the training."""
    from kerasloc.plotting import history

    if run.history:
        history(run.history).savefig(run.path("figures/history.png"), dpi=110)


def draw_confusion(folder, report: dict, class_names):
    """Writes confusion.png, for data with one class per image."""
    from kerasloc.plotting import confusion_matrix

    if "confusion" in report:
        figure = confusion_matrix(report["confusion"], class_names)
        figure.savefig(folder / "confusion.png", dpi=110)


def draw_pipelines(folder, wrapper, table, count: int, **options):
    """Writes pipeline-CLASS-NUMBER.png: every step to the refined map of some images.

    Args:
        folder: An existing folder.
        wrapper: A FullModel.
        table: Images; the first of every class come first.
        count: How many to draw.
        **options: Of :func:`kerasloc.postprocess.pipeline`.
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
        figure.savefig(folder / f"pipeline-{name}-{row}.png", dpi=110)


def first_of_each_class(labels) -> np.ndarray:
    """Rows in an order in which the classes take turns.

    Args:
        labels: (n, classes), 0 or 1; the first class of a row counts.
    """
    index = labels.argmax(axis=1)
    before = np.cumsum(np.eye(labels.shape[1])[index], axis=0) - 1
    return np.argsort(before[np.arange(len(index)), index], kind="stable")


def write_evaluation(folder, report: dict, rows: list[dict]):
    """Writes metrics.csv, per_class.csv, localization.csv and evaluation.json.

    Args:
        folder: An existing folder.
        report: Of the classification.
        rows: Of the localization; none is fine.
    """
    scores = {name: report[name] for name in SCORES if name in report}
    write_csv(folder / "metrics.csv", [{"images": report["count"], **scores}])
    per_class = [{"class": name, **row} for name, row in report["per_class"].items()]
    write_csv(folder / "per_class.csv", per_class)
    (folder / "localization.csv").unlink(missing_ok=True)  # of other data
    if rows:
        write_csv(folder / "localization.csv", rows)
    everything = {"classification": report, "localization": rows}
    write_json(folder / "evaluation.json", everything)


def write_json(path, value):
    """Writes dicts, lists and arrays as strict json: NaN is null."""
    write_text(path, json.dumps(without_nan(value), indent=2, allow_nan=False))


def without_nan(value):
    """The dicts, lists and arrays with None for NaN, which json does not know."""
    if isinstance(value, dict):
        return {key: without_nan(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(one) for one in value]
    if isinstance(value, np.ndarray | np.generic):
        return without_nan(value.tolist())
    return None if isinstance(value, float) and np.isnan(value) else value


def write_csv(path, rows: list[dict]):
    """Writes rows with the keys of the first as header."""
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def classification_text(report: dict) -> str:
    """The scores, a line each."""
    lines = [f"{report['count']} images"]
    for name in SCORES:
        if name in report:
            lines.append(f"  {name.replace('_', ' '):16s} {report[name]:.4f}")
    low, high = report["accuracy_interval"]
    lines[1] += f"   [{low:.4f}, {high:.4f}] (95 % bootstrap)"
    return "\n".join(lines)


def localization_text(rows: list[dict]) -> str:
    """The table of maps and controls, side by side."""
    width = max(len(row["map"]) for row in rows)
    tuned = all(row["tuned"] for row in rows)
    lines = [
        f"{rows[0]['count']} pairs of image and class; map of the true class; 95 % "
        "bootstrap intervals",
        "threshold: the best of validation"
        if tuned
        else "threshold: 0.5, as the validation images have no masks or boxes",
        f"{'map':{width}s}  point accuracy        IoU                   gain on low "
        "             threshold",
    ]
    for row in rows:
        cells = [
            f"{row[key]:+.3f} [{row[f'{key}_low']:+.3f}, {row[f'{key}_high']:+.3f}]"
            if key == "gain"
            else f"{row[key]:.3f} [{row[f'{key}_low']:.3f}, {row[f'{key}_high']:.3f}]"
            for key in ("point", "iou", "gain")
        ]
        line = "  ".join(cells)
        lines.append(f"{row['map']:{width}s}  {line}  {row['threshold']:.2f}")
    return "\n".join(lines)


def collect(runs: list[list[dict]], key: str, columns) -> list[dict]:
    """Mean and standard deviation over runs of every row's numbers.

    Args:
        runs: For each run its rows, with the same keys.
        key: Column that names a row.
        columns: The numbers.

    Returns:
        Dicts of the key, ``runs``, and ``COLUMN_mean``, ``COLUMN_std`` (n - 1).
    """
    answer = []
    for first in runs[0]:
        same = [row for rows in runs for row in rows if row[key] == first[key]]
        row = {key: first[key], "runs": len(same)}
        for column in columns:
            values = np.array([one[column] for one in same], float)
            row[f"{column}_mean"] = float(values.mean())
            row[f"{column}_std"] = float(values.std(ddof=1)) if len(same) > 1 else 0.0
        answer.append(row)
    return answer


def collected_text(rows: list[dict]) -> str:
    """The collected table as text: mean +- deviation."""
    key = next(iter(rows[0]))
    names = [column[:-5] for column in rows[0] if column.endswith("_mean")]
    width = max(len(str(row[key])) for row in rows)
    lines = [
        f"mean and standard deviation over {rows[0]['runs']} runs",
        f"{'':{width}s}  " + "  ".join(f"{name:17s}" for name in names),
    ]
    for row in rows:
        cells = [f"{row[f'{n}_mean']:.4f} +- {row[f'{n}_std']:.4f}" for n in names]
        lines.append(f"{row[key]:{width}s}  " + "  ".join(f"{c:17s}" for c in cells))
    return "\n".join(lines)
