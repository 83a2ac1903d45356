"""PYLON's options; sizes and files: test_registry, parity: test_goldens."""

import keras
import pytest

from kerasloc.models.pylon import pylon


def build(**options):
    return pylon((64, 96, 1), 2, "resnet18", **options)


def kernel(model, name):
    return tuple(model.get_layer(name).kernel.shape)


@pytest.mark.parametrize(
    ("n_up", "sides"), [(0, (2, 3)), (1, (4, 6)), (2, (8, 12)), (3, (16, 24))]
)
def test_each_up_module_doubles_the_maps(n_up, sides):
    model = build(n_up=n_up)
    assert model.output["maps"].shape[1:3] == sides
    ups = {layer.name[:3] for layer in model.layers if layer.name.startswith("up")}
    assert ups == {f"up{number}" for number in (3, 2, 1)[:n_up]}


def test_published_options_are_the_defaults():
    model = pylon((32, 32, 1), 14, "resnet18")
    assert kernel(model, "pa_mid_0_conv") == (1, 1, 512, 128)
    assert kernel(model, "up3_conv1_0_conv") == (1, 1, 256, 256)
    assert kernel(model, "up3_conv1_1_conv") == (1, 1, 256, 128)
    assert kernel(model, "up1_conv1_0_conv") == (1, 1, 64, 64)
    assert kernel(model, "segmentation_head_0") == (1, 1, 128, 14)


def test_kernel_sizes_and_width_are_those_asked_for():
    model = build(up_kernel_size=5, head_kernel_size=3, decoder_channels=7)
    assert kernel(model, "up2_conv1_0_conv") == (5, 5, 128, 128)
    assert kernel(model, "up2_conv1_1_conv") == (5, 5, 128, 7)
    assert kernel(model, "segmentation_head_0") == (3, 3, 7, 2)


def test_one_layer_instead_of_two():
    model = build(up_type="1layer", n_up=1)
    assert kernel(model, "up3_conv1_conv") == (1, 1, 256, 128)
    assert not [layer for layer in model.layers if layer.name.startswith("up3_conv1_0")]


def test_without_attention_only_its_middle_remains():
    names = [layer.name for layer in build(use_pa=False).layers if layer.weights]
    attention = [name for name in names if name.startswith("pa_")]
    assert attention == ["pa_mid_0_conv", "pa_mid_0_bn"]


def test_no_relu_follows_the_sum_of_an_up_module():
    model = build(n_up=1)
    assert isinstance(model.get_layer("up3_add"), keras.layers.Add)
    added = model.get_layer("segmentation_head_0").input
    assert added is model.get_layer("up3_add").output
