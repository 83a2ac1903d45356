"""Synthetic data, drawn for a seed: textured shapes, and polygons around a target."""

from kerasloc.data.synthetic.polygons import (
    PolygonConfig,
    default_polygons,
    other_masks,
    render_polygons,
    write_polygons,
)
from kerasloc.data.synthetic.shapes import (
    MULTI_LABEL,
    SyntheticConfig,
    default_folder,
    render,
    render_several,
    write,
)
from kerasloc.data.synthetic.stars import star_name

__all__ = [
    "MULTI_LABEL",
    "PolygonConfig",
    "SyntheticConfig",
    "default_folder",
    "default_polygons",
    "other_masks",
    "render",
    "render_polygons",
    "render_several",
    "star_name",
    "write",
    "write_polygons",
]
