"""A small page of results."""

import numpy as np
import pytest

from kerasloc.plotting import ReportClass, ReportConfig, ReportImage, write_report

CLASSES = ('<b>"x" & co</b>', "cat", "dog")
HIT, MISS, NONE = True, False, None


def heat_at(x, y, size=(16, 24), low=0.1, high=0.9):
    """A map with one hot pixel."""
    heat = np.full(size, low)
    heat[y, x] = high
    return heat


def report_image(name, answers, boxes=(), level=0.5, **more):
    """An image of one gray; answers are class, probability, label, said, hit."""
    classes = tuple(
        ReportClass(index, heat_at(3 + index, 2), chance, label, said, hit, (3, 2))
        for index, chance, label, said, hit in answers
    )
    image = np.full((16, 24, 1), level)
    return ReportImage(image, name, classes, np.reshape(boxes, (-1, 5)), **more)


@pytest.fixture(scope="session")
def report_images():
    """Five: a hit, a miss beside a hit, one without boxes, a false alarm, unknown."""
    nan, box = float("nan"), [1, 1, 6, 4]
    return (
        report_image(
            "a/1.png",
            [
                (0, 0.9, 1, True, HIT),
                (1, 0.2, 0, False, NONE),
                (2, 0.1, 0, False, NONE),
            ],
            [[*box, 0]],
        ),
        report_image(
            "a/2 <i>.png",
            [(0, 0.4, 1, False, MISS), (1, 0.8, 1, True, HIT), (2, 0, 0, False, NONE)],
            [[9, 9, 6, 4, 0], [*box, 1], [2.25, 3, 1, 1, 1]],
        ),
        report_image(
            "b/3.png",
            [
                (1, 0.3, 1, False, NONE),
                (0, 0.2, 0, False, NONE),
                (2, 0, 0, False, NONE),
            ],
        ),
        report_image(
            "b/4.png",
            [(2, 0.7, 0, True, NONE), (0, 0.3, 0, False, NONE), (1, 0, 0, False, NONE)],
            abnormality=heat_at(5, 5),
            abnormality_probability=0.6,
        ),
        report_image(
            "b/5.png", [(2, 0.6, nan, True, NONE), (1, 0.5, nan, False, NONE)]
        ),
    )


@pytest.fixture(scope="session")
def report(report_images, tmp_path_factory):
    """Folder of the page of these images. To be read only."""
    folder = tmp_path_factory.mktemp("report")
    config = ReportConfig("A & <b>page</b> {{data}}", CLASSES, (0.5, 0.55, 0.6))
    write_report(folder, iter(report_images), config)
    return folder
