import numpy as np
import pytest

from kerasloc import metrics
from kerasloc.checks import as_maps
from kerasloc.metrics import _inputs

OF_MASKS = [
    metrics.point_hits,
    metrics.pompom,
    metrics.iou_curve,
    metrics.best_threshold,
]


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


@pytest.mark.parametrize("metric", OF_MASKS)
def test_wrong_maps_and_masks_are_refused(metric):
    maps, masks = np.zeros((2, 2, 2)), np.ones((2, 2, 2), bool)
    with pytest.raises(TypeError, match="masks of float64"):
        metric(maps, maps)
    with pytest.raises(ValueError, match=r"masks.*here 2.*\(1, 2, 2\)"):
        metric(maps, masks[:1])
    with pytest.raises(
        ValueError, match=r"\(n, rows, cols\).*Received: shape \(2, 2\)"
    ):
        metric(maps[0], masks)
    maps[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"1 of them, first at index 1"):
        metric(maps, masks)


@pytest.mark.parametrize("metric", OF_MASKS[1:])
def test_maps_of_another_size_than_the_masks_are_refused(metric):
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(4, 4\)"):
        metric(np.zeros((1, 2, 2)), np.ones((1, 4, 4), bool))


@pytest.mark.parametrize("metric", OF_MASKS[:3])
def test_no_images_have_no_values(metric):
    values = metric(np.zeros((0, 4, 4)), np.zeros((0, 4, 4), bool))
    assert values.shape[0] == 0
