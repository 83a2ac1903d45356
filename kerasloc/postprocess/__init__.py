"""Refined maps: a low and a high resolution CAM and the image, merged step by step."""

from kerasloc.postprocess.options import PipelineOptions
from kerasloc.postprocess.pipeline import pipeline

__all__ = ["PipelineOptions", "pipeline"]
