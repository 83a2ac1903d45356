"""Compares explanations: how fast does perturbing relevant tiles change the prediction?

Images are cut into tiles, which are perturbed one after the other, the most relevant
first (MoRF). The faster the probability of the class falls, the better the explanation
names the evidence of the model: AOPC, the mean fall, is higher. POMPOM is the share of
the pixels outside the mask (or boxes) that an explanation marks: lower is better, as
far as an explanation is 0 anywhere.
"""

import dataclasses
import logging

from kerasloc.configs import option, select_fields
from kerasloc.evaluation.configs import (
    ComparedRuns,
    DrawnSamples,
    ExplanationComparison,
)
from kerasloc.training import cli

FAMILY = "explainer"

EXAMPLE = """\
examples:
  python scripts/compare_explanations.py
      the newest run of the explainer-classifier: its explanation, the same at low
      resolution, Grad-CAM of its classifier, a random order, and a Gaussian at the
      center
  python scripts/compare_explanations.py --type pylon --methods high low random
      the newest run of another family
  python scripts/compare_explanations.py --weights results/explainer/a results/pylon/b
      several models on the same images, each with its own explanations
  python scripts/compare_explanations.py --grid 16 --steps 40 --perturbation mean
      finer tiles, of which the first 40 get the mean color of their image

comparison.csv, comparison.json and morf.png land in the first run's folder comparison/
(comparison-val/ of --split val). An image costs a prediction for every step and method.
"""


@dataclasses.dataclass(frozen=True)
class PerturbationOptions:
    """Tiles of an image, and their perturbation."""

    grid: int | tuple[int, ...] = option(
        8, "Number of tiles along a side, or down x across: 8x6.", parse=cli.parse_size
    )
    steps: int | None = option(None, "Number of perturbed tiles (default: all).")
    perturbation: str = option("noise", "Content of a tile: noise, mean or black.")


def parse(words=None):
    """Parse the command line."""
    parser = cli.Parser(__doc__, EXAMPLE)
    family = {"default": {"type": FAMILY}}
    cli.add_options(parser, ComparedRuns, "models", presets=family)
    cli.add_options(parser, DrawnSamples, "data (default: that of each run)")
    cli.add_options(parser, ExplanationComparison, "explanations")
    cli.add_options(parser, PerturbationOptions, "explanations")
    return cli.overrides(parser.parse_args(words))


def check_same(tables):
    """Check that all models are compared on the same images.

    Raises:
        ValueError: If they are not.
    """
    first = tables[0].paths.tolist()
    different = [n for n, table in enumerate(tables) if table.paths.tolist() != first]
    if different:
        raise ValueError(
            "Expected the same images for all models. Received: other images for model "
            f"{different[0] + 1} than for the first. Use --data-dir for all of them."
        )


def main(words=None):
    """Compare the explanations of one model or several."""
    options = parse(words)
    from kerasloc.evaluation import compare
    from kerasloc.metrics import AopcConfig

    chosen = ComparedRuns(**select_fields(ComparedRuns, options))
    drawn = DrawnSamples(**select_fields(DrawnSamples, options))
    aopc = AopcConfig(**select_fields(AopcConfig, options))
    values = select_fields(ExplanationComparison, options)
    config = ExplanationComparison(**values, aopc=aopc)
    models = compare.open_models(chosen, FAMILY)
    for model in models:
        compare.explanations_of(model.wrapper, config.methods)
    tables = [model.samples(drawn)[0] for model in models]
    check_same(tables)
    scores = {}
    for model, table in zip(models, tables, strict=True):
        logging.info("%s, %d %s images", model.name, len(table), drawn.split)
        scores[model.name] = compare.compare_explanations(model.wrapper, table, config)
    settings = {
        "models": [str(model.path) for model in models],
        "split": drawn.split,
        "settings": dataclasses.asdict(config),
        "paths": tables[0].paths,
    }
    target = models[0].output_folder("comparison", drawn.split, chosen.output)
    table = compare.write_comparison(target, compare.label_scores(scores), settings)
    logging.info("%s\nThe table and the curves are in %s", table, target)


if __name__ == "__main__":
    cli.run_main(main)
