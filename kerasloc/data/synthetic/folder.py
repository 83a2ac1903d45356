"""Files of synthetic data: a folder that appears when it is complete, and its PNGs."""

import json
import logging
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasloc.data.datasets.folders import ANNOTATIONS

BAR_FROM = 200  # images, which take a few seconds

logger = logging.getLogger(__name__)


def make_folder(
    folder: str | os.PathLike, settings: dict, fill: Callable[[Path], dict]
) -> Path:
    """Write a folder of data with annotations.json, or reuse one of the same settings.

    Args:
        folder: Folder to write.
        settings: Description of the data.
        fill: Function that writes all files into an empty folder and returns further
            entries of annotations.json.

    Raises:
        ValueError: If the folder holds something else.
    """
    folder, settings = Path(folder), json.loads(json.dumps(settings))
    if _is_complete(folder, settings):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    try:
        content = json.dumps({"settings": settings, **fill(unfinished)})
        (unfinished / ANNOTATIONS).write_text(content, encoding="utf-8")
        if not _is_complete(folder, settings):  # another process may have been faster
            os.replace(unfinished, folder)
            logger.info("wrote %s", folder)
    except OSError as error:
        raise OSError(
            f"Expected a folder that can be written. Received: {folder} ({error}). "
            "Nothing was left in it. Free the disk, or write elsewhere."
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _is_complete(folder: Path, settings: dict) -> bool:
    """Return whether the folder holds this very data; raise for any other content."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    try:
        content = json.loads((folder / ANNOTATIONS).read_text(encoding="utf-8"))
        recorded = content["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        recorded = None
    if recorded != settings:
        raise ValueError(
            f"Expected an empty or new folder for synthetic data with {settings}. "
            f"Received: {folder}, which holds {recorded or 'other files'}. Remove it "
            "or name another folder."
        )
    return True


def with_bar(jobs: Sequence[Any]) -> Iterable[Any]:
    """Iterate over images to draw, with a progress bar if they take some seconds."""
    from tqdm import tqdm

    return tqdm(jobs, "drawing", unit="image", disable=len(jobs) < BAR_FROM)


def write_classes(folder: Path, images: Iterable[tuple]) -> dict[str, dict]:
    """Write images, and return their boxes and paths of masks by kind and image.

    Images are split, class name, number, picture, and boolean masks by kind; those of
    the kind ``masks`` are of objects, which have boxes.
    """
    content: dict[str, dict] = {"boxes": {}, "masks": {}}
    for split, name, number, picture, masks in images:
        image = f"{split}/{name}/{number:04d}.png"
        save_png(folder / image, picture)
        for kind, mask in masks.items():
            content.setdefault(kind, {})[image] = f"{kind}/{image}"
            save_png(folder / kind / image, mask)
        if "masks" in masks:
            content["boxes"][image] = [[*box_around(masks["masks"]), name]]
    return content


def box_around(mask: np.ndarray) -> list[int]:
    """Box x, y, w, h around a boolean mask with at least one true pixel.

    Examples:
        >>> mask = np.zeros((8, 8), bool)
        >>> mask[2:4, 3:8] = True
        >>> box_around(mask)
        [3, 2, 5, 2]
    """
    y, x = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return [int(v) for v in (x[0], y[0], x[-1] + 1 - x[0], y[-1] + 1 - y[0])]


def save_png(path: Path, pixels: np.ndarray) -> None:
    """Write an 8-bit PNG, and its folder if absent; masks become 0 and 255."""
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels.dtype == bool:
        pixels = pixels.astype(np.uint8) * 255
    Image.fromarray(pixels).save(path, compress_level=1)
