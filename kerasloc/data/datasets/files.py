"""Image files of a dataset, located by the names that its tables write."""

import collections
import concurrent.futures
import dataclasses
import itertools
import logging
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasloc.data.headers import read_header
from kerasloc.data.problems import listing, report_problems
from kerasloc.data.table import SPLITS, Table, split_of

# of all formats that kerasloc.data.decode reads
JPEG = (".jpeg", ".jpg", ".jpe", ".jfif", ".mpo")
DICOM = (".dcm", ".dicom", ".dic", ".ima")
EXTENSIONS = (*JPEG, ".png", ".apng", ".bmp", ".gif", ".tif", ".tiff", ".webp", *DICOM)
MASK_FOLDER, MASK_SUFFIX = "masks", "_mask"
CLUTTER = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir")
CHUNK = 2048

PathLike = str | os.PathLike[str]

logger = logging.getLogger(__name__)


def is_hidden(name: str) -> bool:
    """Tell by its name if a file or folder is hidden, or made by a file manager.

    Examples:
        >>> is_hidden("._a.png"), is_hidden("Thumbs.db"), is_hidden("a.png")
        (True, True, False)
    """
    return name.startswith(".") or name.lower() in CLUTTER


def is_image(name: str) -> bool:
    """Tell by its name, in any case, if a file is a visible image.

    Examples:
        >>> is_image("a.PNG"), is_image(".a.png"), is_image("notes.txt")
        (True, False, False)
    """
    return name.lower().endswith(EXTENSIONS) and not is_hidden(name)


def files_in(folder: PathLike) -> list[Path]:
    """List all visible files below a folder, sorted; an absent one holds none.

    Links to folders are followed, but not to one that is listed already or holds this.

    Raises:
        OSError: If a folder cannot be read.
    """

    def stop(error):
        if not isinstance(error, FileNotFoundError):
            raise error

    paths: list[Path] = []
    visited = {*map(str, Path(os.path.realpath(folder)).parents)}
    for parent, folders, names in os.walk(folder, onerror=stop, followlinks=True):
        if (real := os.path.realpath(parent)) in visited:
            logger.warning("%s is a link to a folder read already: not used", parent)
            folders.clear()
            continue
        visited.add(real)
        folders[:] = sorted(name for name in folders if not is_hidden(name))
        paths += [Path(parent, name) for name in names if not is_hidden(name)]
    return sorted(paths)


def csv_files(folder: Path) -> list[Path]:
    """List the visible csv files in a folder, sorted; an absent one holds none."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [p for p in paths if p.suffix.lower() == ".csv" and not is_hidden(p.name)]


def by_split(paths: Iterable[Path], prefix: str = "") -> dict[str, Path]:
    """Map "train", "val" and "test" to the folders or files whose names mean them.

    Args:
        paths: Folders or files.
        prefix: Lower-case start of their names that does not count.

    Raises:
        ValueError: If two mean the same.

    Examples:
        >>> {name: str(path) for name, path in by_split([Path("Valid.csv")]).items()}
        {'val': 'Valid.csv'}
    """
    matches: dict[str, list[Path]] = {name: [] for name in SPLITS if name}
    for path in sorted(paths):
        name = path.name if path.is_dir() else path.stem
        split = split_of(name.lower().removeprefix(prefix))
        if split:
            matches[split].append(path)
    for split, same in matches.items():
        report_problems(
            map(str, same if len(same) > 1 else ()),
            f"Expected one name for {split}",
            remedy="Merge them, or rename or remove all but one.",
        )
    return {split: same[0] for split, same in matches.items() if same}


def by_stem(images: Mapping[str, str]) -> dict[str, str]:
    """Map the names of images without their suffixes to their paths.

    DICOM files are left out where there is an image made of them.

    Raises:
        ValueError: If two have the same.

    Examples:
        >>> by_stem({"a.png": "images/a.png"})
        {'a': 'images/a.png'}
    """
    made = {Path(name).stem for name in images if not name.lower().endswith(DICOM)}
    images = {
        name: path
        for name, path in images.items()
        if not (name.lower().endswith(DICOM) and Path(name).stem in made)
    }
    stems = collections.Counter(Path(name).stem for name in images)
    repeated = [path for name, path in images.items() if stems[Path(name).stem] > 1]
    rule = "Expected images whose names differ in more than their suffix"
    report_problems(repeated, rule, remedy="Remove all but one of each name.")
    return {Path(name).stem: path for name, path in images.items()}


def normalize(name: str) -> str:
    """Compose the accents of a name: file systems and tables write them in two ways."""
    return unicodedata.normalize("NFC", name)


class FileIndex:
    """Images below a folder, by relative path or file name, with or without extension.

    Args:
        folder: Folder to walk; an absent one holds no images.
        skip: Name of folders inside it whose images are left out.
    """

    def __init__(self, folder: PathLike, skip: str = MASK_FOLDER):
        self.folder = Path(folder)
        self.paths = [
            path
            for path in files_in(folder)
            if is_image(path.name)
            if skip not in path.relative_to(folder).parts[:-1]
        ]
        self._paths_by_key: dict[str, set[Path]] = collections.defaultdict(set)
        for path in self.paths:
            relative = path.relative_to(folder)
            for key in (relative, relative.with_suffix(""), path.name, path.stem):
                self._paths_by_key[normalize(str(key))].add(path)

    def find(self, name: str) -> Path | None:
        """Return the image of that name, or None without one.

        Raises:
            ValueError: If several images match.
        """
        paths = self._paths_by_key.get(normalize(name.replace("\\", "/")), ())
        if len(paths) > 1:
            raise ValueError(
                "Expected a name to match one image. Received: "
                f"{name}, which matches {', '.join(sorted(map(str, paths)))}. Write "
                "more of the path."
            )
        return next(iter(paths), None)


def locate(
    images: Iterable[tuple[str, str]], indices: Mapping[str, FileIndex]
) -> tuple[list[str], dict[str, str]]:
    """Locate images by pairs of a key of ``indices`` and a name in that folder.

    Returns:
        Name "key/path" of each image, and the paths of all that exist by name.
    """
    files = {
        f"{key}/{path.relative_to(index.folder).as_posix()}": str(path)
        for key, index in indices.items()
        for path in index.paths
    }
    names_by_path = {path: name for name, path in files.items()}
    paths = [(key, image, indices[key].find(image)) for key, image in images]
    names = [names_by_path.get(str(p), f"{key}/{image}") for key, image, p in paths]
    return names, files


def add_masks(table: Table, folders: Sequence[PathLike]) -> Table:
    """Add masks of the images, ``NAME_mask`` or ``NAME`` in a folder of each image.

    Raises:
        ValueError: If an image has two masks.
    """
    masks: dict[PathLike, dict[str, str]] = {}
    repeated = []
    for folder in dict.fromkeys(folders):
        masks[folder] = {}
        for path in map(str, FileIndex(folder, skip="").paths):
            stem = normalize(Path(path).stem.removesuffix(MASK_SUFFIX))
            if masks[folder].setdefault(stem, path) != path:
                repeated.append(f"{masks[folder][stem]} and {path}")
    rule = "Expected one mask of an image"
    report_problems(repeated, rule, remedy="Remove all but one.")
    stems = [normalize(Path(path).stem) for path in table.paths]
    column = [masks[f].get(stem, "") for f, stem in zip(folders, stems, strict=True)]
    return dataclasses.replace(table, masks=np.array(column, str))


def image_files(
    root: PathLike, image_dir: PathLike | None, patterns: Sequence[str]
) -> dict[str, str]:
    """Map the names of the images of a dataset to their paths, sorted.

    Folders below ``image_dir``, or the root, by glob patterns; the first folder of a
    name wins. Images directly in ``image_dir`` come first, those in the root last.

    Raises:
        ValueError: If there is no image.
    """
    base = Path(root if image_dir is None else image_dir)
    below = [path for pattern in patterns for path in sorted(base.glob(pattern))]
    for folders in (below, [base]) if image_dir is None else ([base], below):
        paths: dict[str, str] = {}
        repeated = []
        for folder in filter(Path.is_dir, folders):
            with os.scandir(folder) as entries:
                images = {e.name: e.path for e in entries if is_image(e.name)}
            same = images.keys() & paths.keys()
            repeated += [images[n] for n in same if not _same(images[n], paths[n])]
            paths = images | paths
        if repeated:
            message = (
                "%d images have the name of one in an earlier folder, not used:\n%s"
            )
            logger.warning(message, len(repeated), listing(sorted(repeated)))
        if paths:
            return dict(sorted(paths.items()))
    candidates = ", ".join(str(base / pattern) for pattern in ("", *patterns))
    raise ValueError(
        f"Expected images ({', '.join(EXTENSIONS)}) in one of {candidates}. Received: "
        "none. Use image_dir to name their folder."
    )


def files_below(folders: Iterable[PathLike], names: Iterable[str]) -> dict[str, str]:
    """Map relative paths to the files of that path in the first folder that has them.

    Only these files are queried, in threads: CheXpert has nearly as many folders as
    images, so that listing all of them takes longer.
    """
    paths: dict[str, str] = {}
    missing = list(names)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for folder in filter(os.path.isdir, map(str, folders)):
            chunks = [missing[i : i + CHUNK] for i in range(0, len(missing), CHUNK)]
            existing = pool.map(_existing_files, itertools.repeat(folder), chunks)
            paths.update(itertools.chain.from_iterable(existing))
            missing = [name for name in missing if name not in paths]
    return paths


def image_sizes(paths: Sequence[str]) -> np.ndarray:
    """Read rows and columns of image files from their headers, (n, 2).

    Those of the upright image, after any EXIF rotation; NaN where a file cannot be
    read.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return np.array(list(pool.map(_image_size, paths)), float).reshape(-1, 2)


def _same(path: str, other_path: str) -> bool:
    """True if both are links to the same file."""
    return os.path.realpath(path) == os.path.realpath(other_path)


def unreadable(path: str) -> str:
    """Return a path and why its header cannot be read, one line."""
    try:
        read_header(path, sys.maxsize)
    except (OSError, ValueError) as error:
        return f"{path}: {error}"
    return path


def _existing_files(folder: str, names: list[str]) -> list[tuple[str, str]]:
    paths = ((name, os.path.join(folder, name)) for name in names)
    return [(name, path) for name, path in paths if os.path.isfile(path)]


def _image_size(path: str) -> tuple[float, float]:
    try:
        header = read_header(path, sys.maxsize)
    except (OSError, ValueError):  # decoding reports it
        return np.nan, np.nan
    lying = header.orientation >= 5
    return (header.cols, header.rows) if lying else (header.rows, header.cols)
