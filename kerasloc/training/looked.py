"""Images that maps are measured on, held as a model takes them, with their boxes."""

import dataclasses

import numpy as np

from kerasloc import boxes as box_tools
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.data.tables import Table
from kerasloc.training.heatmap_choice import positive_classes


@dataclasses.dataclass(frozen=True, eq=False)
class Looked:
    """Images that maps are measured on.

    Attributes:
        images: (n, rows, cols, channels) in [0, 1].
        boxes: Rows image, x, y, w, h, class in pixels of these images.
        classes: Those of each image with boxes, or else its true ones.
        count: Classes that there are.
    """

    images: np.ndarray
    boxes: np.ndarray
    classes: list[list[int]]
    count: int

    def of_first_class(self, place: int) -> np.ndarray:
        """Boxes x, y, w, h of the first class of an image, (k, 4)."""
        own = self.boxes[self.boxes[:, 0] == place]
        return own[own[:, 5] == (self.classes[place] or [-1])[0], 1:5]

    def shown(self, most: int) -> np.ndarray:
        """Places of the first images with a class; the first where there are none."""
        known = [place for place, some in enumerate(self.classes) if some]
        return np.array(known or range(len(self.images)), int)[:most]

    @property
    def masks(self) -> np.ndarray:
        """What boxes cover, boolean (n, rows, cols, classes)."""
        size = self.images.shape[1:3]
        masks = np.zeros((len(self.images), *size, self.count), bool)
        for image, index in {(int(row[0]), int(row[5])) for row in self.boxes}:
            own = (self.boxes[:, 0] == image) & (self.boxes[:, 5] == index)
            masks[image, :, :, index] = box_tools.to_mask(self.boxes[own, 1:5], size)
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
    classes = positive_classes(table)
    return Looked(np.concatenate(images), boxes, classes, network.num_classes)
