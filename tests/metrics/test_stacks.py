import numpy as np
import pytest

from kerasloc.metrics import stacks


@pytest.mark.parametrize("count", [0, 1, 7])
@pytest.mark.parametrize("each", [0, 1, 4, 100])
def test_chunks_cover_everything_once_and_stay_small(monkeypatch, count, each):
    monkeypatch.setattr(stacks, "VALUES_AT_ONCE", 10)
    parts = [range(count)[part] for part in stacks.chunks(count, each)]
    assert [i for part in parts for i in part] == list(range(count))
    assert all(len(part) == 1 or len(part) * each <= 10 for part in parts)


def test_double_precision_is_kept_and_integers_become_single():
    assert stacks.as_maps(np.zeros((1, 2, 2))).dtype == np.float64
    assert stacks.as_maps(np.zeros((1, 2, 2), np.uint8)).dtype == np.float32


def test_one_map_alone_is_refused():
    with pytest.raises(
        ValueError, match=r"\(n, rows, cols\).*Received: shape \(4, 5\)"
    ):
        stacks.as_maps(np.zeros((4, 5)))


def test_maps_with_nan_are_counted():
    maps = np.zeros((3, 2, 2))
    maps[1, 0, 0] = np.nan
    with pytest.raises(ValueError, match=r"finite.*1 of them, first at index 1"):
        stacks.as_maps(maps)


def test_soft_masks_are_refused():
    with pytest.raises(TypeError, match=r"boolean. Received: float32"):
        stacks.as_masks(np.zeros((1, 2, 2), np.float32), 1)


def test_masks_of_other_images_are_refused():
    with pytest.raises(ValueError, match="one a map, here 3"):
        stacks.as_masks(np.zeros((2, 2, 2), bool), 3)
