"""Bars of methods, and their maps side by side."""

import numpy as np

from kerasloc.plotting import method_bars, method_page
from kerasloc.plotting.methods import BAR, CONTROL, WIDE


def row(method, value):
    ends = {"point_low": value - 0.1, "point_high": value + 0.1}
    nothing = {f"aopc{end}": np.nan for end in ("", "_low", "_high")}
    return {"method": method, "point": value, **ends, **nothing}


def test_bars_have_intervals_and_what_was_not_measured_has_none():
    titles = {"point": "point accuracy", "aopc": "AOPC"}
    figure = method_bars([row("a: own", 0.7), row("a: center", 0.2)], titles)
    drawn = [ax for ax in figure.axes if ax.axison]
    assert [ax.get_title(loc="left") for ax in drawn] == ["point accuracy"]
    (ax,) = drawn
    assert [bar.get_width() for bar in ax.patches] == [0.7, 0.2]
    colors = [bar.get_facecolor() for bar in ax.patches]
    assert colors == [rgba(BAR), rgba(CONTROL)]
    np.testing.assert_allclose(
        [line[:, 0] for line in ax.collections[0].get_segments()],
        [[0.6, 0.8], [0.1, 0.3]],
    )


def rgba(color):
    from matplotlib.colors import to_rgba

    return to_rgba(color)


def test_a_page_names_methods_and_rows_and_frames_the_boxes():
    images = np.random.default_rng(0).random((2, 8, 8, 3))
    maps = {
        "a-long-name-of-a-run/of-a-network: own": images[..., 0],
        "b": images[..., 1],
    }
    boxes = [np.array([[1, 2, 3, 4]]), np.empty((0, 4))]
    figure = method_page(images, boxes, maps, ["cat", "dog"])
    grid = np.array(figure.axes).reshape(2, 3)
    titles = [ax.get_title() for ax in grid[0]]
    assert [titles[0], titles[2]] == ["image", "b"]
    assert titles[1].replace("\n", "") == "a-long-name-of-a-run/of-a-networkown"
    assert max(map(len, titles[1].split("\n"))) <= WIDE
    for ax in grid[0]:
        (box,) = ax.patches
        assert (*box.get_xy(), box.get_width(), box.get_height()) == (0.5, 1.5, 3, 4)
    assert not any(ax.patches for ax in grid[1])
    assert [[one.get_text() for one in ax.texts] for ax in grid[:, 0]] == [
        ["cat"],
        ["dog"],
    ]
    assert not any(ax.texts for ax in grid[:, 1:].ravel())
    assert not any(ax.texts for ax in method_page(images, boxes, maps).axes)
