"""What goes where in the DenseNet-FCN."""

import keras
import pytest

from kerasloc.backbones.densenet_fcn import (
    DenseNetConfig,
    dense_block,
    encode,
    expand,
)
from kerasloc.cams import producer


def test_channels_are_those_of_the_published_table():
    image = keras.Input((224, 224, 3))
    features, skips = encode(image, DenseNetConfig())
    assert features.shape[1:] == (14, 14, 64)
    assert [skip.shape[1:] for skip in skips] == [
        (112, 112, 112),
        (56, 56, 176),
        (28, 28, 240),
    ]
    assert expand(features, skips, DenseNetConfig()).shape[1:] == (224, 224, 16)


def test_block_joins_earlier_before_new():
    x = keras.Input((8, 8, 6))
    config = DenseNetConfig(growth=4, layers_per_block=2)
    joined, new = dense_block(x, 0, config)
    assert (joined.shape[-1], new.shape[-1]) == (14, 8)
    assert producer(producer(joined).input[-1]).name == "dense_0_1_conv2D"


def test_stride_is_a_power_of_the_pooled_blocks():
    assert [DenseNetConfig(blocks=n).stride for n in (1, 4)] == [4, 32]


def test_no_weight_decay_is_no_penalty():
    assert DenseNetConfig(weight_decay=0).l2() is None


@pytest.mark.parametrize("name", ["blocks", "layers_per_block", "initial_filters"])
def test_sizes_are_positive_whole_numbers(name):
    with pytest.raises(ValueError, match=f"{name} of a whole number.*1.5"):
        DenseNetConfig(**{name: 1.5})
