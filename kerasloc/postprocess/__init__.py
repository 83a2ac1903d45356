"""Post-processing of HRCAM: low and high resolution CAM and image to a refined map."""

from kerasloc.postprocess.options import PipelineOptions
from kerasloc.postprocess.pipeline import pipeline

__all__ = ["PipelineOptions", "pipeline"]
