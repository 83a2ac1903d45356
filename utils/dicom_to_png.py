"""Writes chest X-rays in DICOM files as 8-bit gray PNG files and notes how they shrank.

Example:
    python utils/dicom_to_png.py --input vindr/train --output vindr/train_png
"""

import argparse
import collections
import concurrent.futures
import csv
import functools
import multiprocessing
import os
import pathlib

import numpy as np
from tqdm import tqdm

SUFFIXES = (".dcm", ".dicom", ".dic", ".ima", "")
COLUMNS = ("image_id", "ratio", "rows", "cols")
TABLE = "resize.csv"
BINS = 256
GRAY = ("MONOCHROME1", "MONOCHROME2")


def to_gray8(dataset, *, equalize: bool = True) -> np.ndarray:
    """The image of a data set as people look at it, uint8, (rows, cols).

    Rescaling and the (first) VOI window or table are applied where there are any,
    MONOCHROME1 is inverted, the smallest value becomes 0 and the largest 255. An image
    of one value becomes 0.

    Args:
        dataset: pydicom data set of one gray frame.
        equalize: Whether the histogram is equalized, by 256 bins.

    Raises:
        ValueError: If it has no pixels, is not one gray frame, or is compressed in a
            way that nothing installed can read.
    """
    from pydicom.pixels import apply_modality_lut, apply_voi_lut
    from skimage.exposure import equalize_hist

    _check_gray(dataset)
    _check_decoder(dataset)
    pixels = apply_modality_lut(dataset.pixel_array, dataset)
    pixels = np.asarray(apply_voi_lut(pixels, dataset), np.float64)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = -pixels
    low, high = pixels.min(), pixels.max()
    if low == high:
        return np.zeros(pixels.shape, np.uint8)
    unit = (pixels - low) / (high - low)
    if equalize:
        unit = equalize_hist(unit, nbins=BINS)
    return np.round(unit * 255).astype(np.uint8)


def _check_gray(dataset) -> None:
    if "PixelData" not in dataset:
        raise ValueError("A DICOM file needs an image. Received: one without pixels.")
    kind, frames = dataset.PhotometricInterpretation, dataset.get("NumberOfFrames", 1)
    if kind not in GRAY or int(frames or 1) != 1:
        raise ValueError(
            f"An X-ray is one frame of {' or '.join(GRAY)}. Received: {frames} "
            f"frame(s) of {kind}."
        )


def _check_decoder(dataset) -> None:
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    if not syntax.is_compressed or syntax.is_deflated:
        return
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:  # a syntax that pydicom does not know
        available = False
    if not available:
        raise ValueError(
            f"Nothing installed reads images compressed as {syntax.name}. Install "
            "pylibjpeg, pylibjpeg-libjpeg and pylibjpeg-openjpeg with pip (or "
            "python-gdcm)."
        )


def shrink(image: np.ndarray, size: int) -> np.ndarray:
    """The image with its longest side at most so long, bicubic with antialiasing.

    Args:
        image: uint8 (rows, cols). One that is small enough stays as it is: enlarging
            would add nothing but bytes.
        size: Pixels.
    """
    from PIL import Image

    factor = size / max(image.shape)
    if factor >= 1:
        return image
    rows, cols = (max(1, round(side * factor)) for side in image.shape)
    resized = Image.fromarray(image).resize((cols, rows), Image.Resampling.BICUBIC)
    return np.asarray(resized)


def convert(path: pathlib.Path, folder: pathlib.Path, size: int, equalize: bool):
    """Writes one image.

    Args:
        path: The DICOM file.
        folder: Where the PNG is written, whole or not at all.
        size: See :func:`shrink`.
        equalize: See :func:`to_gray8`.

    Returns:
        The file's row of the table, and None; or None, and what is wrong with it.
    """
    import pydicom
    from PIL import Image

    errors = (ValueError, AttributeError, KeyError, RuntimeError, OSError, EOFError)
    try:
        image = to_gray8(pydicom.dcmread(path), equalize=equalize)
    except pydicom.errors.InvalidDicomError:
        return None, "is not a DICOM file"
    except (*errors, NotImplementedError, TypeError) as error:
        return None, " ".join(str(error).split()) or type(error).__name__
    small = shrink(image, size)
    target = folder / f"{path.stem}.png"
    partial = target.with_suffix(".partial")
    Image.fromarray(small).save(partial, "PNG")
    os.replace(partial, target)
    ratio = max(small.shape) / max(image.shape)
    return (path.stem, f"{ratio:.8g}", *map(str, image.shape)), None


def find(folder: pathlib.Path) -> list[pathlib.Path]:
    """The DICOM files of a folder and its subfolders, told by their names.

    Raises:
        ValueError: If there are none, or two would be written as one PNG.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.name != "DICOMDIR"
        if path.is_file()
    )
    if not found:
        raise ValueError(
            f"--input is a folder of DICOM files ({', '.join(SUFFIXES[:-1])} or no "
            f"suffix). Received: {folder}, which has none."
        )
    stems = collections.Counter(path.stem for path in found)
    name, count = stems.most_common(1)[0]
    if count > 1:
        raise ValueError(
            f"Files have different names, which become those of the PNG files. "
            f"Received: {count} files named {name}. Convert folder by folder."
        )
    return found


def finished(folder: pathlib.Path) -> list[tuple[str, ...]]:
    """Rows of the table in a folder whose PNG file is there.

    Raises:
        ValueError: If the table has other columns.
    """
    path = folder / TABLE
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file)) or [COLUMNS]
    if tuple(header) != COLUMNS:
        raise ValueError(
            f"{path} has the columns {', '.join(COLUMNS)}. Received: "
            f"{', '.join(header)}. Choose another --output."
        )
    whole = {row[0]: tuple(row) for row in rows if len(row) == len(COLUMNS)}
    return [row for name, row in whole.items() if (folder / f"{name}.png").is_file()]


def run(paths, work, folder: pathlib.Path, workers: int) -> dict[pathlib.Path, str]:
    """Converts the files, notes each at once in the table, and gives what failed.

    Args:
        paths: DICOM files.
        work: :func:`convert` with all but the path given.
        folder: Where the table is; rows of files that are done are kept.
        workers: Processes.
    """
    done, broken = finished(folder), {}
    with (folder / TABLE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([COLUMNS, *done])
        names = {row[0] for row in done}
        left = [path for path in paths if path.stem not in names]
        bar = tqdm(total=len(paths), initial=len(paths) - len(left), unit="image")
        with bar:
            for path, (row, problem) in _results(left, work, workers):
                if row is None:
                    broken[path] = problem
                else:
                    writer.writerow(row)
                    file.flush()
                bar.update()
    return broken


def _results(paths, work, workers: int):
    """Pairs of path and answer, as they come."""
    if workers == 1:
        yield from ((path, work(path)) for path in paths)
        return
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {pool.submit(work, path): path for path in paths}
        for future in concurrent.futures.as_completed(futures):
            yield futures[future], future.result()


def parse(arguments=None) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """The parser and what it made of the arguments (None: the command line's)."""
    parser = argparse.ArgumentParser(
        description="Writes chest X-rays in DICOM files as 8-bit gray PNG files: "
        "rescaled and windowed as the file says, MONOCHROME1 inverted, stretched from "
        f"black to white, equalized, made smaller. Beside them {TABLE} has the columns "
        f"{', '.join(COLUMNS)}: ratio is PNG side / DICOM side, rows and cols are the "
        "DICOM's. A run that was stopped goes on where it was; for other settings "
        "choose another --output.",
        epilog="example: python utils/dicom_to_png.py --input vindr/train --output "
        "vindr/train_png",
    )
    add = parser.add_argument
    path = {"type": pathlib.Path, "required": True, "metavar": "DIR"}
    add("--input", **path, help="folder of DICOM files, also in subfolders")
    add("--output", **path, help="folder for the PNG files")
    count = {"type": int, "metavar": "N"}
    text = "longest side; smaller images keep theirs (default %(default)s)"
    add("--size", **count, default=1024, help=text)
    add("--no-equalize", "--no_equalize", action="store_true", help="keep gray levels")
    cores = os.cpu_count() or 1
    add("--workers", **count, default=cores, help="processes (default: cores)")
    add(
        "--on-error",
        "--on_error",
        choices=("list", "skip"),
        default="list",
        help="list broken files at the end and exit with 1, or count them only",
    )
    options = parser.parse_args(arguments)
    if min(options.size, options.workers) < 1:
        parser.error("--size and --workers are 1 or more.")
    if not options.input.is_dir():
        parser.error(f"--input is a folder. Received: {options.input}.")
    return parser, options


def main(arguments=None) -> int:
    """Convert the files and say what came of it; 1 if files were broken, else 0."""
    parser, options = parse(arguments)
    try:
        import pydicom  # noqa: F401 (what is missing is said before work starts)
    except ImportError:
        parser.error("pydicom is missing. Install it: pip install 'kerasloc[dicom]'.")
    folder = options.output
    work = functools.partial(
        convert, folder=folder, size=options.size, equalize=not options.no_equalize
    )
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
        print("\n".join(f"  {path}: {text}" for path, text in sorted(broken.items())))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
