"""What several tests need: golden arrays and tiny networks."""

import json
import os
import pathlib
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")

import numpy as np
import pytest

GOLDENS = pathlib.Path(__file__).parent / "goldens"
TINY = {"growth": 4, "initial_filters": 8, "layers_per_block": 2}


def golden_array(seed, name, shape):
    """The array that the golden files' rule gives a parameter of this name."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if name.endswith("moving_variance"):
        values = rng.uniform(0.5, 1.5, shape)
    elif name.endswith(("moving_mean", "bias", "beta")):
        values = 0.1 * rng.standard_normal(shape)
    elif name.endswith("gamma") or len(shape) == 1:
        values = rng.uniform(0.3, 0.9, shape)
    else:
        values = rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[:-1]))
    return values.astype("float32")


class HrcamGolden:
    """Weights by rule, the input, and what the published implementation answered."""

    def __init__(self):
        self.facts = json.loads((GOLDENS / "hrcam.json").read_text())
        self.answers = np.load(GOLDENS / "hrcam.npz")
        self.seed = self.facts["seed"]
        rng = np.random.default_rng([self.seed, zlib.crc32(b"input:hrcam")])
        noise = rng.standard_normal(self.facts["input_shape_nhwc"])
        self.images = np.clip(0.5 + 0.25 * noise, 0, 1).astype("float32")

    def arrays(self, kind):
        """Arrays by layer and variable name, for `half` or `full`."""
        layers = {}
        for name, shape in self.facts[kind].items():
            layer, variable = name.split("/")
            array = golden_array(self.seed, name, shape)
            layers.setdefault(layer, {})[variable] = array
        return layers


@pytest.fixture(scope="session")
def hrcam_golden():
    return HrcamGolden()


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 32, 32, 3), dtype="float32")


@pytest.fixture
def tiny():
    """Options of a network that builds and runs in a moment."""
    return dict(TINY)
