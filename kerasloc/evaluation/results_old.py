"""To be split."""

import numpy as np

from kerasloc.io import write_csv, write_json

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
