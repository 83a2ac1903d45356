"""A small page of results."""

import numpy as np
import pytest

from kerasloc.plotting import ReportClass, ReportConfig, ReportImage, write_report

CLASSES = ('<b>"x" & co</b>', "cat", "dog")
HIT, MISS, NONE = True, False, None
NAN = float("nan")


def heat_at(x, y):
    """A map with one hot pixel."""
    heat = np.full((16, 24), 0.1)
    heat[y, x] = 0.9
    return heat


def report_image(name, rows, boxes=(), **fields):
    """A gray image; rows are class, probability, label, predicted, hit."""
    classes = tuple(
        ReportClass(index, heat_at(3 + index, 2), *values, (3, 2))
        for index, *values in rows
    )
    image = np.full((16, 24, 1), 0.5)
    return ReportImage(image, name, classes, np.reshape(boxes, (-1, 5)), **fields)


@pytest.fixture(scope="session")
def report_images():
    """Five: a hit, a miss beside a hit, one without boxes, a false alarm, unknown."""
    cat_off, dog_off = (1, 0.2, 0, False, NONE), (2, 0, 0, False, NONE)
    box = [1, 1, 6, 4]
    return (
        report_image(
            "a/1.png", [(0, 0.9, 1, True, HIT), cat_off, dog_off], [[*box, 0]]
        ),
        report_image(
            "a/2 <i>.png",
            [(0, 0.4, 1, False, MISS), (1, 0.8, 1, True, HIT), dog_off],
            [[9, 9, 6, 4, 0], [*box, 1], [2.25, 3, 1, 1, 1]],
        ),
        report_image(
            "b/3.png", [(1, 0.3, 1, False, NONE), (0, 0.2, 0, False, NONE), dog_off]
        ),
        report_image(
            "b/4.png",
            [(2, 0.7, 0, True, NONE), (0, 0.3, 0, False, NONE), (1, 0, 0, False, NONE)],
            abnormality=heat_at(5, 5),
            abnormality_probability=0.6,
        ),
        report_image(
            "b/5.png", [(2, 0.6, NAN, True, NONE), (1, 0.5, NAN, False, NONE)]
        ),
    )


@pytest.fixture(scope="session")
def report(report_images, tmp_path_factory):
    """Folder of the page of these images, to read only."""
    folder = tmp_path_factory.mktemp("report")
    config = ReportConfig("A & <b>page</b> {{data}}", CLASSES, (0.5, 0.55, 0.6))
    write_report(folder, iter(report_images), config)
    return folder
