"""Measures a trained model on test images: classes, maps and controls, side by side."""

import pathlib

from kerasloc.training import arguments

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


HRCAM = ("half", "full")
FAMILIES = (
    *HRCAM,
    "pylon",
    "baseline",
    "li2018",
    "fpn",
    "unet",
    "deeplabv3plus",
    "pan",
    "ham",
    "explainer",
)
CHECKPOINTS = ("best", "best-auroc", "best-tiou", "best-tior", "last")
BASELINE = ("python scripts/train_baseline.py --model NAME",)
HALF = "python scripts/pretrain_half.py"
COMMANDS = {
    "half": (HALF,),
    "full": (HALF, "python scripts/train_full.py"),
    "pylon": ("python scripts/train_pylon.py",),
    "ham": ("python scripts/train_ham.py",),
    "explainer": ("python scripts/train_explainer.py",),
}


def parse(words=None):
    """The options of the command line."""
    parser = arguments.Parser(__doc__, EXAMPLE)
    parser.add_argument(
        "--type", choices=FAMILIES, help="family (default: that of --weights)"
    )
    parser.add_argument(
        "--weights", nargs="+", help="run folders (default: the newest run)"
    )
    parser.add_argument("--results-name", help="name of one run, instead of --weights")
    parser.add_argument("--results-dir", default="results", help="where runs lie")
    parser.add_argument(
        "--data-dir", help="data (default: that of the run, from its config.json)"
    )
    parser.add_argument("--dataset", choices=arguments.DATASETS, help="what it is")
    parser.add_argument("--image-dir", help="where a csv's images lie")
    parser.add_argument("--split", choices=("test", "val"), default="test")
    parser.add_argument(
        "--checkpoint",
        choices=CHECKPOINTS,
        help="which weights of the run (default best; HAM keeps one for each score)",
    )
    parser.add_argument(
        "--on-error", choices=("raise", "skip"), help="default: as in training"
    )
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument(
        "--aopc-images",
        type=int,
        help="images that AOPC of an explainer-classifier is measured on (default 32)",
    )
    parser.add_argument(
        "--figures", type=int, default=2, help="test images to draw (default 2)"
    )
    options = parser.parse_args(words)
    if options.type is None and not options.weights:
        parser.error("give --type, or --weights")
    return options


def run_folders(options) -> list[pathlib.Path]:
    """The runs to evaluate."""
    from kerasloc.weights import find_runs, runs_in

    if options.weights:
        return [pathlib.Path(one) for one in options.weights]
    place = pathlib.Path(options.results_dir) / options.type
    if options.results_name:
        return [place / options.results_name]
    runs = runs_in(place) or find_runs(options.type)
    if not runs:
        raise ValueError(
            f"Evaluation needs a trained model. Received: no run in {place}. Run "
            f"{' and then '.join(COMMANDS.get(options.type, BASELINE))}."
        )
    return runs[:1]


def main(words=None):
    """Evaluates one run, or several and their mean and deviation."""
    options = parse(words)
    from kerasloc.configs import select_fields
    from kerasloc.evaluation import EvaluationConfig, collect_runs, evaluate_run
    from kerasloc.runs import read_network

    folders = run_folders(options)
    families = {read_network(folder).family for folder in folders}
    if options.type is not None:
        families.add(options.type)
    if len(families) > 1:
        raise ValueError(
            "Runs of one family are evaluated together. Received: "
            f"{', '.join(sorted(families))}. Call the script once for each."
        )
    family = families.pop()
    place = pathlib.Path(options.results_dir) / family
    config = EvaluationConfig(
        **select_fields(EvaluationConfig, arguments.given(options))
    )
    tables = [evaluate_run(folder, config) for folder in folders]
    if len(tables) > 1:
        names = [folder.name for folder in folders]
        collected = collect_runs(tables, place / "collected", names)
        if "localization" in collected.details:
            path = place / "localization_collected.csv"
            collected.details["localization"].write_csv(path)


if __name__ == "__main__":
    arguments.run_main(main)
