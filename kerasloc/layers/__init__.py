"""Layers that Keras lacks, or has in a slower form; `keras.ops` on every backend."""

from kerasloc.layers.accelerator import has_accelerator
from kerasloc.layers.class_maps import ChosenClassMap
from kerasloc.layers.normalization import BatchNormalization
from kerasloc.layers.pooling import MultipleInstancePooling
from kerasloc.layers.resize import AlignedResize

__all__ = [
    "AlignedResize",
    "BatchNormalization",
    "ChosenClassMap",
    "MultipleInstancePooling",
    "has_accelerator",
]
