"""Write chest X-rays in DICOM files as 8-bit gray PNG files, and a table of ratios.

Example:
    python utils/dicom_to_png.py --input vindr/train --output vindr/train_png
"""

import collections
import concurrent.futures
import contextlib
import csv
import functools
import importlib.util
import multiprocessing
import os
import pathlib
import signal

import numpy as np
from tqdm import tqdm

from kerasloc.io import as_cell, atomic_write, from_cell, printable

ABOUT = """\
Writes chest X-rays in DICOM files as 8-bit gray PNG files: rescaled and windowed as the
file says, MONOCHROME1 inverted, stretched from black to white, equalized, made smaller;
padding is black. Scripts read DICOM files directly, too, equalized, by the same code.
Beside them resize.csv has the columns image_id, ratio, rows, cols: ratio is PNG side /
DICOM side, rows and cols are the DICOM's. A stopped run is resumed; for different
settings choose another --output."""
EXAMPLE = """\
example:
  python utils/dicom_to_png.py --input vindr/train --output vindr/train_png"""
SUFFIXES = (".dcm", ".dicom", ".dic", ".ima", "")
COLUMNS = ("image_id", "ratio", "rows", "cols")
TABLE = "resize.csv"


def shrink(image: np.ndarray, size: int) -> np.ndarray:
    """Shrink an image to a longest side, bicubic with antialiasing; never enlarge."""
    from PIL import Image

    factor = size / max(image.shape)
    if factor >= 1:
        return image
    rows, cols = (max(1, round(side * factor)) for side in image.shape)
    resized = Image.fromarray(image).resize((cols, rows), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def convert(
    path: pathlib.Path, folder: pathlib.Path, size: int, equalize: bool, max_pixels: int
):
    """Convert a file in one step; returns a row and None, or None and the error."""
    from PIL import Image

    from kerasloc.data import dicom
    from kerasloc.data.headers import check_pixels

    try:
        with path.open("rb") as file:
            check_pixels(*dicom.read_size(file), max_pixels)
        image = dicom.read_gray8(path, equalize=equalize)
    except (OSError, ValueError) as error:
        return None, str(error)
    small = shrink(image, size)
    target = folder / f"{path.stem}.png"
    with atomic_write(target) as partial:
        Image.fromarray(small).save(partial, "PNG")
    ratio = max(small.shape) / max(image.shape)
    return (path.stem, f"{ratio:.8g}", *map(str, image.shape)), None


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """List the DICOM files of a folder and its subfolders, by suffix."""
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.name != "DICOMDIR"
        if path.is_file()
    )
    if not paths:
        raise ValueError(
            f"Expected --input as a folder of DICOM files ({', '.join(SUFFIXES[:-1])} "
            f"or no suffix). Received: {folder} without such files."
        )
    stems = collections.Counter(path.stem for path in paths)
    name, count = stems.most_common(1)[0]
    if count > 1:
        raise ValueError(
            "Expected files of different names, as those of the PNG files. "
            f"Received: {count} files named {name}. Convert folder by folder."
        )
    return paths


def finished(folder: pathlib.Path) -> list[tuple[str, ...]]:
    """Read the rows of the table in a folder whose PNG file exists."""
    path = folder / TABLE
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        lines = [tuple(map(from_cell, line)) for line in csv.reader(file)]
    header, *rows = lines or [COLUMNS]
    if tuple(header) != COLUMNS:
        raise ValueError(
            f"Expected the columns {', '.join(COLUMNS)} in {path}. Received: "
            f"{', '.join(header)}. Choose another --output."
        )
    complete = {row[0]: tuple(row) for row in rows if len(row) == len(COLUMNS)}
    return [row for name, row in complete.items() if (folder / f"{name}.png").is_file()]


def run(paths, work, folder: pathlib.Path, workers: int) -> dict[pathlib.Path, str]:
    """Convert files, and append each to the table at once; returns errors by path."""
    done, broken = finished(folder), {}
    text = {"newline": "", "encoding": "utf-8"}
    with atomic_write(folder / TABLE) as partial, partial.open("w", **text) as file:
        csv.writer(file).writerows(map(as_cell, row) for row in [COLUMNS, *done])
    with (folder / TABLE).open("a", **text) as file:
        writer = csv.writer(file)
        names = {row[0] for row in done}
        left = [path for path in paths if path.stem not in names]
        bar = tqdm(total=len(paths), initial=len(paths) - len(left), unit="image")
        with bar, contextlib.closing(_results(left, work, workers)) as results:
            for path, (row, problem) in results:
                if row is None:
                    broken[path] = problem
                else:
                    writer.writerow(map(as_cell, row))
                    file.flush()
                bar.update()
    return broken


def _results(paths, work, workers: int):
    """Yield pairs of path and result in the order of completion."""
    if workers == 1:
        yield from ((path, work(path)) for path in paths)
        return
    context = multiprocessing.get_context("spawn")
    ignored = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, and it these
    with concurrent.futures.ProcessPoolExecutor(
        workers, context, signal.signal, ignored
    ) as pool:
        futures = {pool.submit(work, path): path for path in paths}
        try:
            for future in concurrent.futures.as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def parse(arguments=None):
    """Create the parser and parse arguments (None: the command line's)."""
    from kerasloc.training.cli import Parser

    parser = Parser(ABOUT, EXAMPLE)
    add, path = parser.add_argument, {"type": pathlib.Path, "metavar": "DIR"}
    text = "folder of DICOM files, also in subfolders"
    add("--input", required=True, **path, help=text)
    add("--output", required=True, **path, help="folder for the PNG files")
    count = {"type": int, "metavar": "N"}
    text = "longest side of larger images, pixels (default: %(default)s)"
    add("--size", **count, default=1024, help=text)
    text = "keep gray levels (default: equalize)"
    add("--no-equalize", action="store_true", help=text)
    text = "number of processes (default: number of cores)"
    add("--workers", **count, default=os.cpu_count() or 1, help=text)
    text = "largest image, in million pixels (default: %(default)s)"
    add("--max-megapixels", type=float, metavar="N", default=100.0, help=text)
    text = "list broken files at the end and exit with 1, or only count them "
    text += "(default: %(default)s)"
    add("--on-error", choices=("list", "skip"), default="list", help=text)
    options = parser.parse_args(arguments)
    if min(options.size, options.workers) < 1:
        parser.error(
            "Expected --size and --workers of 1 or more. Received: "
            f"{options.size} and {options.workers}."
        )
    if not options.input.is_dir():
        parser.error(f"Expected a folder as --input. Received: {options.input}.")
    return parser, options


def main(arguments=None) -> int:
    """Convert the files and print a summary; returns 1 if files were broken, else 0."""
    parser, options = parse(arguments)
    if importlib.util.find_spec("pydicom") is None:
        parser.error("pydicom is missing. Install it: pip install 'kerasloc[dicom]'.")
    folder = options.output
    settings = {"size": options.size, "equalize": not options.no_equalize}
    most = int(options.max_megapixels * 1e6)
    work = functools.partial(convert, folder=folder, max_pixels=most, **settings)
    try:
        paths = find(options.input)
        folder.mkdir(parents=True, exist_ok=True)
        broken = run(paths, work, folder, options.workers)
    except ValueError as error:
        parser.error(str(error))
    print(f"{folder}: {len(paths) - len(broken)} of {len(paths)} images and {TABLE}")
    if broken and options.on_error == "skip":
        print(f"left out: {len(broken)} broken files")
    elif broken:
        print("broken:")
        for path, text in sorted(broken.items()):
            print(printable(f"  {path}: {text}"))
        return 1
    return 0


if __name__ == "__main__":
    from kerasloc.training.cli import run_main

    run_main(main)
