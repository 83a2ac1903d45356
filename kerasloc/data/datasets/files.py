"""Images and masks of a folder by names as tables write them.

With or without folder and extension, accents in either way.
"""

import collections
import os
import unicodedata
from pathlib import Path

from kerasloc.data.datasets.folders import EXTENSIONS

MASK_END = "_mask"


class FileIndex:
    """The images below a folder, found by path, by name, or without extension.

    Args:
        folder: One that is not there holds nothing.
        without: Name of a folder inside it that is passed over.
    """

    def __init__(self, folder, without: str = "masks"):
        self.paths, self._found = [], collections.defaultdict(set)
        for place, inside, names in os.walk(folder):
            inside[:] = sorted(name for name in inside if name != without)
            for name in sorted(names):
                path = Path(place, name)
                if path.suffix.lower() in EXTENSIONS and not name.startswith("."):
                    self._add(path, Path(folder))

    def _add(self, path: Path, folder: Path):
        self.paths.append(path)
        below = path.relative_to(folder)
        for key in (below, below.with_suffix(""), path.name, path.stem):
            self._found[normal(str(key))].add(path)

    def find(self, name: str) -> Path | None:
        """The one image of that name; None where there is none.

        Raises:
            ValueError: If there are several.
        """
        paths = self._found.get(normal(name.replace("\\", "/")), ())
        if len(paths) > 1:
            raise ValueError(
                "A name without folder or extension is that of one image. Received: "
                f"{name}, which is {', '.join(sorted(map(str, paths)))}. Write more "
                "of the path, or remove the others."
            )
        return next(iter(paths), None)


class MaskIndex:
    """The masks of a folder by the name of their image: ``NAME_mask`` or ``NAME``.

    Args:
        folder: One that is not there holds nothing.
    """

    def __init__(self, folder):
        paths = FileIndex(folder, without="").paths
        self._found = {
            normal(path.stem.removesuffix(MASK_END)): str(path) for path in paths
        }

    def find(self, image) -> str:
        """Path of the mask of an image, "" where there is none."""
        return self._found.get(normal(Path(image).stem), "")


def normal(name: str) -> str:
    """The name with accents in one way, as file systems and tables write them in two.

    Args:
        name: A name, as a file system or a table has it.
    """
    return unicodedata.normalize("NFC", name)
