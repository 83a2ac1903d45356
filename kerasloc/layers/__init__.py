"""Layers that Keras lacks, or has in a slower form; `keras.ops` on every backend."""

from kerasloc.layers.class_maps import ChosenClassMap
from kerasloc.layers.normalization import BatchNormalization

__all__ = ["BatchNormalization", "ChosenClassMap"]
