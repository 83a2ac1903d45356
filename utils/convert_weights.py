"""Convert published PyTorch weights, and compare the outputs.

Example:
    python utils/convert_weights.py --family pylon --backbone resnet50 \
        --num-classes 14 --channels 1 --im-size 256 net.pt --output pylon_nih
"""

import argparse
import json
import pathlib
import sys

import numpy as np

LIMIT = 1e-4  # of an output's standard deviation
TINY = 1e-5  # absolute error that always agrees
SOFT_LIMIT = 1e-3  # of soft masks, whose slope is steep
ABOUT = f"""\
Converts published PyTorch weights to Keras, all of them or none. With --inputs and
--reference it compares the outputs and ends with 1 when an output differs by more than
{LIMIT:g} of its standard deviation; nothing is then written."""
EXAMPLE = """\
example:
  python utils/convert_weights.py --family pylon --backbone resnet50 \\
      --num-classes 14 --channels 1 --im-size 256 net.pt --output pylon_nih \\
      --inputs in.npy --reference out.npz"""
ALIASES = {  # names of published outputs
    "pred": "logits",
    "pred_seg": "maps",
    "out_classes": "logits",
    "out_anomaly": "abnormality_logits",
    "cam_classes": "maps",
    "cam_anomaly": "abnormality_maps",
    "cam_classes_refined": "refined_maps",
    "cam_anomaly_refined": "abnormality_refined_maps",
}


def parse(arguments=None):
    """Create the parser and parse arguments (None: the command line's)."""
    from kerasloc.training.cli import Parser

    parser = Parser(ABOUT, EXAMPLE)
    add, path = parser.add_argument, {"type": pathlib.Path}
    add("source", **path, help="file: .pt, .pth, .bin, .ckpt or .safetensors")
    add("--family", required=True, metavar="NAME", help="pylon, baseline, fpn, ...")
    add("--output", required=True, **path, help="folder, or a file *.weights.h5")
    text = "resnet18, resnet50, ...; explainer: vgg, ... (default: that of the family)"
    add("--backbone", metavar="NAME", help=text)
    add("--num-classes", type=int, required=True, metavar="N", help="number of classes")
    text = "1 gray, 3 color (default: %(default)s)"
    add("--channels", type=int, default=1, metavar="N", help=text)
    text = "side, or rows x columns: 512x256 (default: %(default)s)"
    add("--im-size", default="256", metavar="PX", help=text)
    text = "option of the network, such as use_pa=false or n_up=2; repeatable"
    text += " (default: none)"
    add("--option", action="append", default=[], metavar="NAME=VALUE", help=text)
    text = "images as the network takes them (default: no comparison)"
    add("--inputs", **path, metavar="NPY", help=text)
    text = "outputs of the published network: logits (or pred), maps (or pred_seg)"
    text += " (default: no comparison)"
    add("--reference", **path, metavar="NPZ", help=text)
    return parser, parser.parse_args(arguments)


def main(arguments=None) -> None:
    """Convert, compare, write; ends with 1 if the outputs differ."""
    parser, options = parse(arguments)
    try:
        agrees = convert(options)
    except (ValueError, TypeError, OSError) as error:
        parser.error(str(error))
    if not agrees:
        sys.exit(1)


def convert(options: argparse.Namespace) -> bool:
    """Convert weights and write them if the outputs agree; returns if they agree."""
    # imported here for a fast --help
    from kerasloc.weights import load_torch, save_atomically

    if (options.inputs is None) != (options.reference is None):
        raise ValueError(
            "Expected --inputs and --reference together. Received: "
            f"{options.inputs} and {options.reference}."
        )
    wrapper = build(options)
    print(load_torch(wrapper, options.source))
    if options.inputs is not None:
        lines, agrees = compare(wrapper.model, *load_outputs(options))
        print("\n".join(lines))
        if not agrees:
            print("differs; nothing was written")
            return False
        print("agrees")
    if options.output.name.endswith(".weights.h5"):
        options.output.parent.mkdir(parents=True, exist_ok=True)
        save_atomically(wrapper.model, options.output)
    else:
        wrapper.save(options.output)
    print(f"written to {options.output}")
    return True


def build(options: argparse.Namespace):
    """Build the untrained wrapper of the options."""
    from kerasloc.localizers import wrappers
    from kerasloc.training.cli import parse_size

    family, families = options.family.lower(), wrappers()
    if family not in families:
        raise ValueError(
            f"Expected --family as one of {', '.join(sorted(families))}. "
            f"Received: {options.family!r}."
        )
    extra = dict(read_option(text) for text in options.option)
    if options.backbone is not None:
        extra["classifier" if family == "explainer" else "backbone"] = options.backbone
    return families[family](
        num_classes=options.num_classes,
        channels=options.channels,
        im_size=parse_size(options.im_size),
        **extra,
    )


def read_option(text: str) -> tuple[str, object]:
    """Split ``name=value``; the value is JSON or else text."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"Expected --option NAME=VALUE. Received: {text!r}.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def load_outputs(options: argparse.Namespace) -> tuple[np.ndarray, dict]:
    """Load the inputs, and the reference's outputs by the package's names."""
    from kerasloc.untrusted import open_zip, reading

    with reading(options.inputs, "an npy file"):  # no larger than it declares
        inputs = np.load(options.inputs, mmap_mode="r", allow_pickle=False)
    with (
        reading(options.reference, "an npz file") as path,
        open_zip(path),
        np.load(path, allow_pickle=False) as file,
    ):
        outputs = {ALIASES.get(name, name): file[name] for name in file.files}
    return inputs, outputs


def compare(model, inputs, reference: dict) -> tuple[list[str], bool]:
    """Compare outputs; returns a line per output, and True if all of them agree."""
    images = channels_last(inputs, model.input_shape, "input")
    outputs = model.predict_on_batch(np.asarray(images, np.float32))
    shared = [name for name in outputs if name in reference]
    if not shared:
        raise ValueError(
            f"Expected a reference with {' or '.join(outputs)}. Received: "
            f"{', '.join(reference)}."
        )
    lines, agree = [], []
    for name in shared:
        output = np.asarray(outputs[name], np.float64)
        expected = channels_last(reference[name], output.shape, f"output {name}")
        largest, deviation = np.abs(output - expected).max(), expected.std() or 1.0
        error, limit = largest / deviation, SOFT_LIMIT if "refined" in name else LIMIT
        agree.append(bool(error <= limit or largest <= TINY))  # NaN differs
        verdict = "agrees" if agree[-1] else "differs"
        lines.append(
            f"{name} {output.shape}: largest error {error:.2e} of the standard "
            f"deviation, {verdict}"
        )
    return lines, all(agree)


def channels_last(array, shape, name: str) -> np.ndarray:
    """Move the channels of an array last if ``shape`` (None: any size) needs it."""
    for candidate in (array, np.moveaxis(array, 1, -1) if array.ndim > 1 else array):
        sizes = zip(candidate.shape, shape, strict=False)
        if candidate.ndim == len(shape) and all(b in (None, a) for a, b in sizes):
            return candidate
    raise ValueError(
        f"Expected an {name} of shape {tuple(shape)}. Received: {array.shape}."
    )


if __name__ == "__main__":
    from kerasloc.training.cli import run_main

    run_main(main)
