"""Published, pretrained and trained weights from files into networks.

All arrays of a network match or nothing is changed, and nothing in a file is executed.
"""

from kerasloc.runs import RUN_WEIGHTS, find_runs, runs_in, weights_of_run
from kerasloc.runs import save_weights as save_atomically
from kerasloc.weights.files import (
    assign,
    read_arrays,
    read_keras,
    warn_unless_finite,
)
from kerasloc.weights.imagenet import (
    ImageNetFiles,
    find_imagenet,
    load_backbone,
    load_imagenet,
)
from kerasloc.weights.torch_files import read_torch
from kerasloc.weights.torch_match import Matched, load_torch

__all__ = [
    "RUN_WEIGHTS",
    "ImageNetFiles",
    "Matched",
    "assign",
    "find_imagenet",
    "find_runs",
    "load_backbone",
    "load_imagenet",
    "load_torch",
    "read_arrays",
    "read_keras",
    "read_torch",
    "runs_in",
    "save_atomically",
    "warn_unless_finite",
    "weights_of_run",
]
