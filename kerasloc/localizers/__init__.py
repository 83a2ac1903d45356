"""The wrappers: a network that takes images and answers people."""

from kerasloc.localizers.hrcam import FullModel, HalfModel
from kerasloc.localizers.resolve import load

__all__ = ["FullModel", "HalfModel", "load"]
