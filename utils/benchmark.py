"""Measures how fast a family of networks works here; prints one table with ratios.

What is compared takes turns, round after round, so that a machine that gets slower or
faster does so for all; a first turn of each, which warms up, does not count. Numbers
are medians over the rounds; a ratio is the median of the rounds' ratios and tells how
many times as fast a line is as what stands behind it.

Example:
    python utils/benchmark.py hrcam --json benchmark.json
    python utils/benchmark.py pylon --repeat 3
    python utils/benchmark.py ham --only masks
    python utils/benchmark.py explainer --only explanations
    python utils/benchmark.py cams --only methods classes
"""

import argparse
import json
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # also when loaded as a module

from benchmarks import cams, explainer, ham, hrcam, pylon
from benchmarks.environment import environment
from benchmarks.timing import table

SUITES = {
    "hrcam": hrcam,
    "pylon": pylon,
    "ham": ham,
    "explainer": explainer,
    "cams": cams,
}
EXAMPLE = "example: python utils/benchmark.py {} --only {} --json speed.json"


def parse(arguments=None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The parser and what it made of the arguments (None: the command line's)."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=f"{EXAMPLE.format('hrcam', 'cams')}; options: hrcam --help",
    )
    suites = parser.add_subparsers(dest="suite", required=True, help="what to measure")
    for name, suite in SUITES.items():
        sections = [section.__name__ for section in suite.SECTIONS]
        one = suites.add_parser(
            name,
            description=suite.__doc__.splitlines()[0],
            epilog=EXAMPLE.format(name, sections[0]),
        )
        one.add_argument("--only", nargs="+", choices=sections, default=sections)
        for option, (default, text) in suite.OPTIONS.items():
            names = dict.fromkeys([f"--{option}", f"--{option.replace('-', '_')}"])
            one.add_argument(
                *names,
                type=type(default),
                metavar="N" if isinstance(default, int) else "NAME",
                default=default,
                help=f"{text} (default {default})",
            )
        one.add_argument("--quick", action="store_true", help="tiny sizes, to try it")
        one.add_argument("--json", type=pathlib.Path, help="a file to write as well")
        one.set_defaults(parser=one)
    options = parser.parse_args(arguments)
    if options.quick:  # once more: what is given decides, also then
        options.parser.set_defaults(**SUITES[options.suite].QUICK)
        options = parser.parse_args(arguments)
    del options.parser
    given = vars(options)
    numbers = [given[name.replace("-", "_")] for name in SUITES[options.suite].OPTIONS]
    if min(number for number in numbers if isinstance(number, int)) < 1:
        parser.error("Numbers are 1 or more.")
    return parser, options


def main(arguments=None) -> None:
    """Measure, print the table, write the file."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser, options = parse(arguments)
    facts = environment()
    print("\n".join(f"{name}: {fact}" for name, fact in facts.items()), flush=True)
    sections = [
        section
        for section in SUITES[options.suite].SECTIONS
        if section.__name__ in options.only
    ]
    try:
        rows = [row for section in sections for row in section(options)]
    except ValueError as error:
        parser.error(str(error))
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps({"environment": facts, "rows": rows}))


if __name__ == "__main__":
    main()
