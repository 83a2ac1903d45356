"""Compares heat maps: which method, or which model, finds the object?

For one trained model: its heat maps, ten methods of class activation (Grad-CAM,
Score-CAM, ...) on its features, and a Gaussian at the center of every image, which a
map has to beat. For several models: the maps of each. All are measured by the same
code against the boxes of the images: point accuracy, IoBB, MaxBoxAccV2, PxAP, the share
of the map's mass in the boxes, AOPC, and seconds per image.
"""

import dataclasses
import logging

from kerasloc.configs import option, select_fields
from kerasloc.evaluation.configs import CamComparison, ComparedRuns, DrawnSamples
from kerasloc.training import cli

FAMILY = "baseline"

EXAMPLE = """\
examples:
  python scripts/compare_cams.py
      the newest run of the baseline: its maps, the ten methods, and the center
  python scripts/compare_cams.py --type pylon --methods own gradcam layercam center
      the newest run of another family, some methods
  python scripts/compare_cams.py --weights results/pylon/a results/ham/b results/full/c
      the maps of several models, each on the test images of its own data (another
      dataset is another question: compare rows of one dataset only)
  python scripts/compare_cams.py --data-dir photos --dataset voc --tune --limit 500
      other images; the thresholds of MaxBoxAccV2 are chosen on the validation images

cams.csv, cams.json, cams.png (bars) and maps.png (maps side by side) land in the first
run's folder cams/ (cams-val/ of --split val). Score-CAM costs a prediction for every
channel and image: leave it out with --methods where that is too long.
"""


@dataclasses.dataclass(frozen=True)
class TuningOptions:
    """Images that thresholds are chosen on."""

    tune: bool = option(
        False,
        "Thresholds of MaxBoxAccV2 chosen on validation images (default: on the "
        "measured images, as published).",
    )


def parse(words=None):
    """Parse the command line."""
    parser = cli.Parser(__doc__, EXAMPLE)
    family = {"default": {"type": FAMILY}}
    cli.add_options(parser, ComparedRuns, "models", presets=family)
    cli.add_options(parser, DrawnSamples, "data (default: that of each run)")
    cli.add_options(parser, CamComparison, "methods")
    cli.add_options(parser, TuningOptions, "methods")
    return cli.overrides(parser.parse_args(words))


def main(words=None):
    """Compare the methods of one model, or several models."""
    options = parse(words)
    from kerasloc.evaluation.compare import label_scores, open_models
    from kerasloc.evaluation.compare_cams import compare_cams, write_cams
    from kerasloc.evaluation.samples import read_boxed_images

    chosen = ComparedRuns(**select_fields(ComparedRuns, options))
    tune = options.get("tune", False)
    drawn = DrawnSamples(**select_fields(DrawnSamples, options))
    if tune and drawn.split == "val":
        raise ValueError(
            "Expected --tune to choose thresholds on other images than the measured "
            "ones. Received: --tune with --split val. Leave one out."
        )
    if len(chosen.weights) > 1:
        options = {"methods": ("own", "center"), **options}
    config = CamComparison(**select_fields(CamComparison, options))
    models = open_models(chosen, FAMILY)

    def read(model, split):
        samples = dataclasses.replace(drawn, split=split)
        table, count = model.samples(samples)
        logging.info("%d of %d %s images", len(table), count, split)
        return read_boxed_images(model.wrapper.config, table, config.batch_size)

    scores, images = {}, {}
    for model in models:
        logging.info("%s", model.name)
        images[model.name] = read(model, drawn.split)
        tuning = read(model, "val") if tune else None
        scores[model.name] = compare_cams(
            model.wrapper, images[model.name], config, tuning
        )
    settings = {
        "models": {
            model.name: {"run": str(model.path), "images": images[model.name].paths}
            for model in models
        },
        "split": drawn.split,
        "data_dir": drawn.data_dir,
        "limit": drawn.limit,
        "tuned": tune,
        "settings": dataclasses.asdict(config),
    }
    target = models[0].output_folder("cams", drawn.split, chosen.output)
    samples = images[models[0].name]
    table = write_cams(target, label_scores(scores), samples, settings, config.seed)
    logging.info(
        "%s\n95 %% intervals over images. AOPC is of %d images or fewer. "
        "Everything is in %s",
        table,
        config.aopc_images,
        target,
    )


if __name__ == "__main__":
    cli.run_main(main)
