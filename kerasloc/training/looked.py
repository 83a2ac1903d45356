"""Images that maps are measured on, held as a model takes them, with their boxes."""

import dataclasses

import numpy as np

from kerasloc import boxes as box_tools
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.table import Table
from kerasloc.training.heatmap_choice import positive_classes


@dataclasses.dataclass(frozen=True, eq=False)
class Looked:
    """Images that maps are measured on.

    Attributes:
        images: (n, rows, cols, channels) in [0, 1].
        boxes: Rows image, x, y, w, h, class in pixels of these images.
        classes: Those of each image with boxes, or else its true ones.
        names: Of the classes that there are.
        paths: Of the images.
    """

    images: np.ndarray
    boxes: np.ndarray
    classes: list[list[int]]
    names: tuple[str, ...]
    paths: list[str]

    @property
    def count(self) -> int:
        """Classes that there are."""
        return len(self.names)

    @property
    def pairs(self) -> set[tuple[int, int]]:
        """Every image and class with a box."""
        return {(int(row[0]), int(row[5])) for row in self.boxes}

    def boxes_of(self, place: int, index: int) -> np.ndarray:
        """Boxes x, y, w, h of a class in an image, (k, 4)."""
        own = (self.boxes[:, 0] == place) & (self.boxes[:, 5] == index)
        return self.boxes[own, 1:5]

    def spread(self, most: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Images with boxes, drawn, and a class of each; the classes take turns.

        Args:
            most: Images at most.
            seed: Of the draw.

        Returns:
            Places (k,) and classes (k,).
        """
        pairs = self.pairs
        order = np.random.default_rng(seed).permutation(len(self.images)).tolist()
        queues = {
            index: [place for place in order if (place, index) in pairs]
            for index in sorted({index for _, index in pairs})
        }
        taken = {}
        while len(taken) < most and any(queues.values()):
            for index, queue in queues.items():
                queue[:] = [place for place in queue if place not in taken]
                if queue and len(taken) < most:
                    taken[queue.pop(0)] = index
        return np.array(list(taken), int), np.array(list(taken.values()), int)

    @property
    def masks(self) -> np.ndarray:
        """What boxes cover, boolean (n, rows, cols, classes)."""
        size = self.images.shape[1:3]
        masks = np.zeros((len(self.images), *size, self.count), bool)
        for image, index in self.pairs:
            own = self.boxes_of(image, index)
            masks[image, :, :, index] = box_tools.to_mask(own, size)
        return masks


def look(wrapper, table: Table, batch_size: int = 8) -> Looked:
    """The images of a table as a wrapper takes them.

    Args:
        wrapper: Of any family.
        table: Its classes in the wrapper's order.
        batch_size: Images read at a time.

    Raises:
        ValueError: If no image has a box.
    """
    network = wrapper.config
    settings = PipelineConfig(
        network.im_size, network.channels, batch_size, ("image", "boxes")
    )
    images, rows = [], []
    for element in batches(table, settings):
        for padded in element["boxes"].numpy():
            own = padded[padded[:, 4] >= 0]
            rows.append(np.column_stack([np.full(len(own), len(rows)), own]))
        images.append(element["image"].numpy())
    boxes = np.concatenate(rows)
    if not len(boxes):
        raise ValueError(
            f"Maps are measured against boxes. Received: {len(table)} images without "
            "any. Give others with --data-dir, or compare AOPC alone: python "
            "scripts/compare_explanations.py."
        )
    classes, names = positive_classes(table), tuple(network.class_names)
    return Looked(np.concatenate(images), boxes, classes, names, table.paths.tolist())
