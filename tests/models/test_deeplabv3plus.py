"""DeepLabV3+'s strides, rates and branches; parity: test_goldens."""

import keras
import pytest

from kerasloc.models.deeplabv3plus import deeplabv3plus


def build(**options):
    return deeplabv3plus((64, 96, 1), 2, "resnet18", **options)


@pytest.mark.parametrize(("stride", "sides"), [(16, (4, 6)), (8, (8, 12))])
def test_deepest_features_have_the_output_stride(stride, sides):
    model = build(output_stride=stride)
    assert model.get_layer("stage5").output.shape[1:3] == sides
    assert model.output["maps"].shape[1:3] == (16, 24)


def test_rates_are_those_of_the_depthwise_branches():
    model = build(atrous_rates=(2, 5))
    rates = {
        layer.name: layer.dilation_rate[0]
        for layer in model.layers
        if isinstance(layer, keras.layers.DepthwiseConv2D)
    }
    assert rates == {
        "aspp_0_convs_1_0_0": 2,
        "aspp_0_convs_2_0_0": 5,
        "aspp_1_0": 1,
        "block2_0_0": 1,
    }


@pytest.mark.parametrize(("aspp", "branches"), [("original", 5), ("nogap", 4)])
def test_the_branch_of_the_whole_image_is_there_or_not(aspp, branches):
    model = build(aspp=aspp)
    assert len(model.get_layer("aspp_0_concat").input) == branches
    means = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.GlobalAveragePooling2D)
    ]
    assert len(means) == branches - 4


def test_published_options_are_the_defaults():
    model = build()
    assert tuple(model.get_layer("aspp_0_project_0").kernel.shape) == (1, 1, 1280, 256)
    assert tuple(model.get_layer("block1_0").kernel.shape) == (1, 1, 64, 48)
    assert model.get_layer("aspp_0_convs_3_0_0").dilation_rate == (36, 36)
    assert model.get_layer("aspp_0_dropout").rate == 0.5
    assert [layer.name for layer in model.layers if getattr(layer, "use_bias", 0)] == [
        "segmentation_head_0"
    ]
