"""The figure of the pipeline, read back from its panels."""

import dataclasses
import inspect
import io
import itertools

import numpy as np
import pytest
from matplotlib.text import Text

from kerasloc import plotting, postprocess

PANELS = (  # title and step of every panel
    ("Image", None),
    ("High CAM", None),
    ("Blurred", "blurred"),
    ("Edges", "edges"),
    ("Low CAM", "low"),
    ("Low CAM resized", "low_resized"),
    ("Region of interest", "roi"),
    ("Segment", "segmented"),
    ("Full segment", "full_segment"),
    ("Merged", "merged"),
    ("Merged over the image", None),
    ("Result", "result"),
)


def inputs(shape=(40, 56, 3)):
    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:5, :7]
    low = 4 - (rows - 2.2) ** 2 - (cols - 3.3) ** 2
    return rng.random(shape, np.float32), low, rng.standard_normal(shape[:2])


def notes(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


@pytest.mark.parametrize("shape", [(40, 56), (56, 40, 1), (40, 40, 3), (20, 90, 3)])
def test_panels_are_the_numbered_steps_from_image_to_result(shape):
    arrays = inputs(shape)
    steps = postprocess.pipeline(*arrays, roi_percentile=70)
    figure = plotting.pipeline(*arrays, roi_percentile=70)
    for number, (ax, (title, key)) in enumerate(
        zip(figure.axes, PANELS, strict=True), start=1
    ):
        assert ax.get_title(loc="left") == f"{number}  {title}"
        if key is not None:
            values = steps[key]
            if key == "result":  # as RGB
                values = np.broadcast_to(np.atleast_3d(values), (*shape[:2], 3))
            np.testing.assert_allclose(ax.images[0].get_array(), values)


def test_all_panels_have_the_same_extent():
    figure = plotting.pipeline(*inputs((40, 56)))
    extents = {tuple(ax.images[0].get_extent()) for ax in figure.axes}
    assert extents == {(-0.5, 55.5, 39.5, -0.5)}
    limits = {(*ax.get_xlim(), *ax.get_ylim()) for ax in figure.axes}
    assert limits == extents


def test_focal_points_and_the_region_are_drawn():
    arrays = inputs()
    steps = postprocess.pipeline(*arrays)
    figure = plotting.pipeline(*arrays)
    points = figure.axes[5].collections[0].get_offsets()
    np.testing.assert_array_equal(points, steps["focal_points"])
    assert len(figure.axes[3].collections) == 1


def test_the_options_are_those_of_the_pipeline():
    parameters = inspect.signature(plotting.pipeline).parameters.values()
    options = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert options == dataclasses.asdict(postprocess.PipelineOptions())


def test_notes_state_the_bounds_and_the_options():
    bounds = postprocess.pipeline(*inputs())["bounds"]
    blended = notes(plotting.pipeline(*inputs(), merge_alpha=0.2))
    assert any("bounds {:.2f} to {:.2f}".format(*bounds) in text for text in blended)
    assert "refined map: 0.2 segment + 0.8 low CAM" in blended
    assert "the highest 15 % of the refined map" in blended
    options = {"filter_type": "threshold", "filter_threshold": 0.7}
    texts = notes(plotting.pipeline(*inputs(), merge_type="multiply", **options))
    assert "refined map: segment x low CAM" in texts
    assert "where the refined map is above 0.7" in texts


def test_arrows_lead_from_every_panel_but_the_last_to_a_later_panel():
    figure = plotting.pipeline(*inputs())
    boxes = [ax.get_position() for ax in figure.axes]
    low, high = (np.array([getattr(b, end) for b in boxes]) for end in ("min", "max"))

    def nearest(point):
        return int(np.hypot(*(np.clip(point, low, high) - point).T).argmin())

    paths = [artist._path_original.vertices for artist in figure.artists]
    arrows = [(nearest(path[0]), nearest(path[-1])) for path in paths]
    assert all(start < end for start, end in arrows)
    assert {start for start, _ in arrows} == set(range(11))
    assert {end for _, end in arrows} == set(range(1, 12))


def test_titles_and_notes_do_not_overlap():
    figure = plotting.pipeline(*inputs((30, 90, 3)))
    figure.savefig(io.BytesIO(), format="png")
    texts = [text for text in figure.findobj(Text) if text.get_text()]
    assert len(texts) == 1 + 2 * 12 + 3 * 2  # title, panels, ends of color bars
    for a, b in itertools.combinations([t.get_window_extent() for t in texts], 2):
        assert not a.overlaps(b)


def test_a_flat_high_map_is_drawn_with_the_pipelines_warning():
    img, low, high = inputs()
    with pytest.warns(UserWarning, match="low CAM alone"):
        figure = plotting.pipeline(img, low, np.zeros_like(high))
    figure.savefig(io.BytesIO(), format="png")
    assert not figure.axes[7].images[0].get_array().any()


@pytest.mark.parametrize(
    ("shape", "rows", "message"),
    [((40, 56, 3), 39, "high CAM of 39 x 56"), ((40, 56, 5), 40, r"\(40, 56, 5\)")],
)
def test_arrays_that_do_not_fit_are_an_error(shape, rows, message):
    img, low, high = inputs(shape)
    with pytest.raises(ValueError, match=message):
        plotting.pipeline(img, low, high[:rows])
