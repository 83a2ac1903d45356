"""Evaluates a trained model on test images: classes, maps and their controls."""

import dataclasses
import pathlib

from kerasloc.configs import option, select_fields
from kerasloc.evaluation.configs import EvaluationConfig
from kerasloc.models import families
from kerasloc.training import cli

EXAMPLE = """\
examples:
  python scripts/evaluate.py --type half
  python scripts/evaluate.py --type full
      the newest run, on the test images of the data that it was trained on
  python scripts/evaluate.py --type full --weights results/full/a results/full/b
      several runs, and their mean and deviation
  python scripts/evaluate.py --weights results/pylon/nih14-s0 results/pylon/nih14-s1
      AUROC, point localization, IoBB and IoU accuracy of each, mean and deviation

  python scripts/evaluate.py --weights results/ham/NAME --checkpoint best-tiou
      AUROC, TIoU and TIoR with the weights that were best by TIoU on validation

  python scripts/evaluate.py --type explainer
  python scripts/evaluate.py --weights results/explainer/NAME/phase1-classifier
      accuracy, curves, explanations on and off their target, POMPOM, AOPC; of the
      newest run, or of one of its phases

Everything lands in the run's folder evaluation/ (evaluation-val/ of --split val): csv
and json tables, the confusion matrix, and the pictures of some test images from image
to refined heat map.
"""

DEFAULTS = {"batch_size": 32}


@dataclasses.dataclass(frozen=True)
class EvaluatedRuns:
    """Runs that are evaluated together."""

    type: str | None = option(
        None,
        f"Family: {', '.join(families.names())} (default: that of --weights).",
    )
    weights: tuple[str, ...] = option(
        (), "Run folders (default: newest run of --type).", metavar="RUN"
    )
    results_name: str | None = option(
        None, "Name of the run, instead of --weights (default: newest run)."
    )
    results_dir: str = option("results", "Folder of the runs.")

    def folders(self) -> list[pathlib.Path]:
        """Return the run folders.

        Raises:
            ValueError: If there is no run of the family.
        """
        from kerasloc.localizers.loading import newest_run

        if self.weights:
            return [pathlib.Path(folder) for folder in self.weights]
        if self.results_name:
            return [pathlib.Path(self.results_dir) / self.type / self.results_name]
        return [newest_run(self.type, self.results_dir)]


def parse(words=None):
    """Parse the command line."""
    parser = cli.Parser(__doc__, EXAMPLE)
    cli.add_options(parser, EvaluatedRuns, "runs")
    presets = {"default": DEFAULTS}
    cli.add_options(parser, EvaluationConfig, "evaluation", presets=presets)
    options = cli.overrides(parser.parse_args(words))
    if not options.keys() & {"type", "weights"}:
        parser.error("expected --type or --weights")
    return options


def main(words=None):
    """Evaluate one run, or several and their mean and deviation."""
    options = parse(words)
    from kerasloc.evaluation import collect_runs, evaluate_run
    from kerasloc.runs import read_network

    runs = EvaluatedRuns(**select_fields(EvaluatedRuns, options))
    config = EvaluationConfig(**DEFAULTS | select_fields(EvaluationConfig, options))
    folders = runs.folders()
    names = {read_network(folder).family for folder in folders}
    names |= {runs.type} if runs.type else set()
    if len(names) > 1:
        raise ValueError(
            f"Expected runs of one family. Received: {', '.join(sorted(names))}. Call "
            "the script once for each."
        )
    tables = [evaluate_run(folder, config) for folder in folders]
    if len(tables) > 1:
        target = pathlib.Path(runs.results_dir) / names.pop()
        run_names = [folder.name for folder in folders]
        collected = collect_runs(tables, target / "collected", run_names)
        for name, table in collected.details.items():  # where they have always been
            table.write_csv(target / f"{name}_collected.csv")


if __name__ == "__main__":
    cli.run_main(main)
