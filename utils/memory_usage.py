"""Print the memory that an HRCAM model needs, for one or more batch sizes.

Example:
    python utils/memory_usage.py full --im-size 224 --num-classes 5 --batch-size 8 16
"""

import argparse

ABOUT = """\
Memory of a forward pass of an HRCAM model: the activations of a batch and the
parameters, in GB (2**30 bytes). Training needs more."""
EXAMPLE = """\
example:
  python utils/memory_usage.py full --im-size 224 --num-classes 5 --batch-size 8 16"""
BATCH_SIZES = [1, 2, 4, 8, 16, 32]


def parse(arguments=None):
    """Create the parser and parse arguments (None: the command line's)."""
    from kerasloc.training.cli import Parser

    parser = Parser(ABOUT, EXAMPLE)
    add, count = parser.add_argument, {"type": int, "metavar": "N"}
    add("model", choices=("half", "full"), help="network")
    text = "side, or rows and columns, multiples of 32 (default: 224)"
    add("--im-size", type=int, nargs="+", default=[224], metavar="PX", help=text)
    add("--channels", **count, default=3, help="1 gray, 3 color (default: 3)")
    add("--num-classes", **count, default=5, help="number of classes (default: 5)")
    text = f"batch sizes, a row each (default: {' '.join(map(str, BATCH_SIZES))})"
    add("--batch-size", **count, nargs="+", default=BATCH_SIZES, help=text)
    return parser, parser.parse_args(arguments)


def table(options: argparse.Namespace) -> str:
    """Format the model, then batch size and GB, a line each."""
    # imported here for a fast --help
    from kerasloc.checks import as_size
    from kerasloc.debug import get_model_memory_usage
    from kerasloc.models.hrcam import full_densenet, half_densenet

    sides = options.im_size
    size = as_size(sides[0] if len(sides) == 1 else sides)
    build = {"half": half_densenet, "full": full_densenet}[options.model]
    model = build((*size, options.channels), options.num_classes)
    lines = [
        f"{options.model} model, {size[0]} x {size[1]} x {options.channels}, "
        f"{options.num_classes} classes, {model.count_params():,} parameters",
        f"{'batch size':>10}  {'GB':>9}",
    ]
    lines += [
        f"{batch:>10}  {get_model_memory_usage(model, batch):>9.3f}"
        for batch in options.batch_size
    ]
    return "\n".join(lines)


def main(arguments=None) -> None:
    """Print the table, or an error."""
    parser, options = parse(arguments)
    try:
        print(table(options))
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    from kerasloc.training.cli import run_main

    run_main(main)
