"""Layers that Keras lacks, or has in a slower form; `keras.ops` on every backend."""

from kerasloc.layers.class_maps import ChosenClassMap, MappedDense, ScaledAdd, SoftMask
from kerasloc.layers.devices import has_accelerator, replicas, sum_over_replicas
from kerasloc.layers.normalization import BatchNormalization
from kerasloc.layers.pooling import LogSumExpPooling, MultipleInstancePooling
from kerasloc.layers.resize import AlignedResize

__all__ = [
    "AlignedResize",
    "BatchNormalization",
    "ChosenClassMap",
    "LogSumExpPooling",
    "MappedDense",
    "MultipleInstancePooling",
    "ScaledAdd",
    "SoftMask",
    "has_accelerator",
    "replicas",
    "sum_over_replicas",
]
