"""Measure the speed of a family of networks on this machine; prints a table of ratios.

Compared functions take turns, round after round, so that a machine that gets slower or
faster does so for all; a first turn of each, which warms up, does not count. Numbers
are medians over the rounds; a ratio is the median of the rounds' ratios and means how
many times as fast a row is as the row it is compared with.

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

SUITES = {"hrcam": hrcam, "pylon": pylon, "ham": ham}
SUITES |= {"explainer": explainer, "cams": cams}
EXAMPLE = "example: python utils/benchmark.py {} --only {} --json speed.json"


def parse(arguments=None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Create the parser and parse arguments (None: the command line's)."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog=f"{EXAMPLE.format('hrcam', 'cams')}; options: hrcam --help",
    )
    suites = parser.add_subparsers(dest="suite", required=True, help="suite to measure")
    for name, suite in SUITES.items():
        _add_suite(suites, name, suite)
    options = parser.parse_args(arguments)
    if options.quick:  # parsed again: options of the command line have priority
        options.parser.set_defaults(**SUITES[options.suite].QUICK)
        options = parser.parse_args(arguments)
    del options.parser
    numbers = [value for value in vars(options).values() if isinstance(value, int)]
    if min(number for number in numbers if not isinstance(number, bool)) < 1:
        parser.error("Numbers are 1 or more.")
    return parser, options


def _add_suite(suites, name: str, suite) -> None:
    """Add the parser of a suite."""
    sections = [section.__name__ for section in suite.SECTIONS]
    parser = suites.add_parser(
        name,
        description=suite.__doc__.splitlines()[0],
        epilog=EXAMPLE.format(name, sections[0]),
    )
    add, text = parser.add_argument, "sections to measure (default: all)"
    add("--only", nargs="+", choices=sections, default=sections, help=text)
    for option, (default, text) in suite.OPTIONS.items():
        names = dict.fromkeys([f"--{option}", f"--{option.replace('-', '_')}"])
        kind = {"type": type(default), "default": default}
        kind["metavar"] = "N" if isinstance(default, int) else "NAME"
        add(*names, **kind, help=f"{text} (default: %(default)s)")
    add("--quick", action="store_true", help="tiny sizes, to try it (default: no)")
    text = "file to write the rows to (default: none)"
    add("--json", type=pathlib.Path, help=text)
    parser.set_defaults(parser=parser)


def main(arguments=None) -> None:
    """Measure, print the table, write the file."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser, options = parse(arguments)
    facts = environment()
    print("\n".join(f"{name}: {fact}" for name, fact in facts.items()), flush=True)
    sections = {section.__name__: section for section in SUITES[options.suite].SECTIONS}
    try:
        rows = [
            row
            for name, section in sections.items()
            if name in options.only
            for row in section(options)
        ]
    except ValueError as error:
        parser.error(str(error))
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps({"environment": facts, "rows": rows}))


if __name__ == "__main__":
    from kerasloc.training.cli import run_main

    run_main(main)
