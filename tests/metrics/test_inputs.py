import numpy as np
import pytest

from kerasloc.checks import as_maps
from kerasloc.metrics import _inputs


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("width", [0, 1, 4, 100])
def test_chunks_cover_everything_once_and_stay_small(count, width):
    slices = list(_inputs.chunks(count, width, values_at_once=10))
    ranges = [range(count)[chunk] for chunk in slices]
    assert [i for rows in ranges for i in rows] == list(range(count))
    assert all(len(rows) == 1 or len(rows) * width <= 10 for rows in ranges)


def test_double_precision_is_kept_and_integers_become_single():
    assert as_maps(np.zeros((1, 2, 2))).dtype == np.float64
    assert as_maps(np.zeros((1, 2, 2), np.uint8)).dtype == np.float32


@pytest.mark.parametrize(
    ("maps", "message"),
    [
        (np.zeros((4, 5)), r"maps \(n, rows, cols\).*Received: shape \(4, 5\)"),
        ([[[0.0]], [[np.nan]], [[0.0]]], "maps.*1 of them, first at index 1"),
    ],
)
def test_wrong_maps_are_refused(maps, message):
    with pytest.raises(ValueError, match=message):
        as_maps(maps)


def test_soft_masks_are_refused():
    with pytest.raises(TypeError, match="masks of float32"):
        _inputs.as_masks(np.zeros((1, 2, 2), np.float32), 1)


def test_masks_of_another_number_are_refused():
    with pytest.raises(ValueError, match=r"masks.*here 3.*\(2, 2, 2\)"):
        _inputs.as_masks(np.zeros((2, 2, 2), bool), 3)
