"""Attack and damage weight files, and load them by every public way.

Example:
    python utils/fuzz_weights.py --seed 0 --mutations 40
"""

import collections
import itertools
import json
import multiprocessing
import os
import pathlib
import random
import resource
import select
import signal
import sys
import tempfile
import time
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).parent))  # also when loaded as a module

from attacks import hdf5, pickles

ABOUT = """\
Writes weight files of all formats: intact ones, ones made to exhaust memory or time, to
read other files or to run code, and damaged copies. Loads each in a process of its own
and counts: named (a ValueError of one line with the file's name), taken (loaded), other
errors, over a limit, and run (code of a file was executed). All but the first two are
faults: the exit status is then 1."""
EXAMPLE = """\
example:
  python utils/fuzz_weights.py --seed 0 --mutations 40"""
CAP = 4 << 30  # bytes of address space over the start, so that the machine survives


def parse(arguments=None):
    """Parse arguments (None: the command line's)."""
    from kerasloc.training.cli import Parser

    parser = Parser(ABOUT, EXAMPLE)
    add = parser.add_argument
    text = "seed of the damage (default: %(default)s)"
    add("--seed", type=int, default=0, metavar="N", help=text)
    text = "damaged copies of every intact file (default: %(default)s)"
    add("--mutations", type=int, default=40, metavar="N", help=text)
    text = "limit of a refusal's time in seconds (default: %(default)s)"
    add("--seconds", type=float, default=2.0, metavar="S", help=text)
    text = "limit of memory over the start in MB (default: %(default)s)"
    add("--megabytes", type=float, default=500.0, metavar="MB", help=text)
    text = "only attacks whose names have one of these texts (default: all)"
    add("--only", nargs="+", default=[""], metavar="TEXT", help=text)
    text = "folder that keeps the files (default: a temporary one)"
    add("--keep", type=pathlib.Path, metavar="DIR", help=text)
    return parser.parse_args(arguments)


def main(arguments=None) -> None:
    """Write, load, count; ends with 1 if there is a fault."""
    options = parse(arguments)
    import kerasloc

    dir(kerasloc.HalfModel)  # imported once for all processes
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        counts = fuzz(folder, options)
    for group, results in counts.items():
        text = ", ".join(f"{results[kind]} {kind}" for kind in KINDS)
        print(f"{group}: {sum(results.values())} files tried, {text}")
    if any(results[kind] for results in counts.values() for kind in KINDS[2:]):
        sys.exit(1)


KINDS = ("named", "taken", "other errors", "over a limit", "run")


def fuzz(folder: pathlib.Path, options) -> dict[str, collections.Counter]:
    """Load attacks and damaged copies; returns the counts by group."""
    marker = folder / "was-run"
    counts = {name: collections.Counter() for name in ("intact", "attacks", "damaged")}
    for group, path in files(folder, marker, options):
        result = load_apart(path, options)
        result["kind"] = judge(path, result, options)
        if marker.exists():
            marker.unlink()
            result["kind"] = "run"
        counts[group][result["kind"]] += 1
        fault = result["kind"] in KINDS[2:]
        if group != "damaged" or fault:
            print(
                f"{group} {path.name} ({path.stat().st_size} bytes): {result['kind']}, "
                f"{result['seconds']:.2f} s, {result['megabytes']:.0f} MB "
                f"{result['message'][:160]}"
            )
    return counts


def judge(path: pathlib.Path, result: dict, options) -> str:
    """Return the kind of a result."""
    slow = result["seconds"] > options.seconds and result["error"]
    if result["error"] == "killed" or slow:
        return "over a limit"
    if result["megabytes"] > options.megabytes:
        return "over a limit"
    if not result["error"]:
        return "taken"
    text = result["message"]
    one_line = "\n" not in text and len(text) < 2000 and str(path) in text
    return "named" if one_line and result["error"] == "value" else "other errors"


def files(folder, marker, options):
    """Iterate over groups and paths of files, each written when its turn comes."""
    for name in ("intact", "attacks", "damaged"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    intact = _written(folder / "intact", pickles.intact())
    intact += [folder / "intact" / name for name in hdf5.INTACT]
    # TensorFlow hangs in the forks of a process that has used it
    arguments = {"target": hdf5.write_intact, "args": (folder / "intact",)}
    writer = multiprocessing.get_context("fork").Process(**arguments)
    writer.start()
    writer.join()
    attacks = itertools.chain(
        _written(folder / "attacks", pickles.attacks(marker)),
        hdf5.write_attacks(folder / "attacks", intact[-3:]),
    )
    yield from (("intact", path) for path in intact)
    for path in attacks:
        if any(text in path.name for text in options.only):
            yield "attacks", path
    random_numbers = random.Random(options.seed)
    for source in intact:
        for number in range(options.mutations):
            path = folder / "damaged" / f"{number}-{source.name}"
            path.write_bytes(damaged(source.read_bytes(), random_numbers))
            yield "damaged", path


def _written(folder, contents):
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def damaged(content: bytes, random_numbers: random.Random) -> bytes:
    """Cut, flip, repeat or move bytes; half of the time in the first or last 4 kB."""
    data = bytearray(content)
    kind = random_numbers.choice(["cut", "flip", "flip", "flip", "repeat", "zero"])
    near = min(len(data), random_numbers.choice([200, 4096, len(data)]))
    start = random_numbers.randrange(near)
    start = random_numbers.choice([start, len(data) - 1 - start])
    if kind == "cut":
        return bytes(data[:start])
    if kind == "repeat":
        return bytes(data[:start] + data[max(0, start - 64) :])
    if kind == "zero":
        data[start : start + 64] = bytes(len(data[start : start + 64]))
        return bytes(data)
    for _ in range(random_numbers.choice([1, 1, 4, 16])):
        position = min(max(0, start + random_numbers.randint(-64, 64)), len(data) - 1)
        data[position] ^= random_numbers.randrange(1, 256)
    return bytes(data)


def load_apart(path: pathlib.Path, options) -> dict:
    """Load a file in a process of its own; returns error, message, time and memory."""
    receiver, sender = os.pipe()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        os.close(receiver)
        _in_child(path, sender)
    os.close(sender)
    limit = 10 * options.seconds + 30  # a intact file may take its time
    with os.fdopen(receiver, "rb") as pipe:
        ready, _, _ = select.select([pipe], [], [], limit)
        text = pipe.read() if ready else b""
    if not text:
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    result = {"error": "killed", "message": "", "megabytes": 0.0}
    result["seconds"] = time.monotonic() - start
    return result | (json.loads(text) if text else {})


def _in_child(path: pathlib.Path, sender: int) -> None:
    """Load and report, then end without the parent's clean-up."""
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    limit = used * resource.getpagesize() + CAP
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()  # not that of a busy machine
    error, message = "", ""
    warnings.simplefilter("ignore")
    try:
        load(path)
    except ValueError as reason:
        error, message = "value", str(reason)
    except BaseException as reason:
        error, message = type(reason).__name__, f"{type(reason).__name__}: {reason}"
    seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - begin
    result = {"error": error, "message": message[:5000], "seconds": seconds}
    os.write(sender, json.dumps(result | {"megabytes": peak / 1024}).encode())
    os._exit(0)


def load(path: pathlib.Path) -> None:
    """Load a file as a network's weights."""
    import keras

    import kerasloc
    from kerasloc import weights

    if path.suffix in (".h5", ".keras"):
        hdf5.wrapper(weights=path)
    elif "classes" in path.name:  # of a network that the file describes
        kerasloc.Baseline(weights=path)
    else:
        dense = keras.layers.Dense(2, name="dense")
        model = keras.Sequential([keras.Input((3,)), dense])
        weights.load_torch(model, path)


if __name__ == "__main__":
    from kerasloc.training.cli import run_main

    run_main(main)
