"""Image files of a dataset, located by the names that its tables write."""

import collections
import concurrent.futures
import dataclasses
import itertools
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from kerasloc.data.table import Table

EXTENSIONS = (".jpeg", ".jpg", ".png", ".bmp", ".gif")
MASK_SUFFIX = "_mask"
CHUNK = 2048

PathLike = str | os.PathLike[str]


def is_image(name: str) -> bool:
    """Tell by its name, in any case, if a file is a visible image.

    Examples:
        >>> is_image("a.PNG"), is_image(".a.png"), is_image("notes.txt")
        (True, False, False)
    """
    return name.lower().endswith(EXTENSIONS) and not name.startswith(".")


def normalize(name: str) -> str:
    """Compose the accents of a name: file systems and tables write them in two ways."""
    return unicodedata.normalize("NFC", name)


class FileIndex:
    """Images below a folder, by relative path or file name, with or without extension.

    Args:
        folder: Folder to walk; an absent one holds no images.
        skip: Name of a folder inside it that is not walked.
    """

    def __init__(self, folder: PathLike, skip: str = "masks"):
        self.folder = Path(folder)
        self.paths: list[Path] = []
        self._paths_by_key: dict[str, set[Path]] = collections.defaultdict(set)
        for parent, folders, names in os.walk(folder):
            folders[:] = sorted(name for name in folders if name != skip)
            self.paths += [Path(parent, n) for n in sorted(names) if is_image(n)]
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
        Name "key/path" of each image, and the paths of the existing ones by name.
    """
    names, files = [], {}
    for key, image in images:
        path = indices[key].find(image)
        if path is None:
            names.append(f"{key}/{image}")
        else:
            names.append(f"{key}/{path.relative_to(indices[key].folder).as_posix()}")
            files[names[-1]] = str(path)
    return names, files


def add_masks(table: Table, folders: Sequence[PathLike]) -> Table:
    """Add masks of the images, ``NAME_mask`` or ``NAME`` in a folder of each image."""
    masks = {
        folder: {
            normalize(path.stem.removesuffix(MASK_SUFFIX)): str(path)
            for path in FileIndex(folder, skip="").paths
        }
        for folder in set(folders)
    }
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
        for folder in filter(Path.is_dir, folders):
            with os.scandir(folder) as entries:
                paths = {e.name: e.path for e in entries if is_image(e.name)} | paths
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

    Before any EXIF rotation; NaN where a file cannot be read.
    """
    with concurrent.futures.ThreadPoolExecutor() as pool:
        return np.array(list(pool.map(_image_size, paths)), float).reshape(-1, 2)


def _existing_files(folder: str, names: list[str]) -> list[tuple[str, str]]:
    paths = ((name, os.path.join(folder, name)) for name in names)
    return [(name, path) for name, path in paths if os.path.isfile(path)]


def _image_size(path: str) -> tuple[float, float]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return np.nan, np.nan
