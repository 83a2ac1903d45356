"""The ResNet: sizes, counts, dilations, padding, hook; parity: models/test_goldens."""

import functools
import itertools

import keras
import numpy as np
import pytest
from keras import layers

from kerasloc.backbones import resnet as resnets
from kerasloc.backbones.configs import ARCHITECTURES, Architecture, ResNetConfig
from kerasloc.backbones.resnet import (
    STAGES,
    conv,
    describe,
    layers_of,
    resnet,
)
from kerasloc.layers import BatchNormalization

# The published totals less the last layer, whose size is width x 1000 + 1000.
TOTALS = {
    "resnet18": 11_689_512 - 513_000,
    "resnet34": 21_797_672 - 513_000,
    "resnet50": 25_557_032 - 2_049_000,
    "resnet101": 44_549_160 - 2_049_000,
    "resnet152": 60_192_808 - 2_049_000,
    "resnext50_32x4d": 25_028_904 - 2_049_000,
    "resnext101_32x8d": 88_791_336 - 2_049_000,
}
BASIC = Architecture((1, 1, 1, 1), bottleneck=False)  # one block a stage
BOTTLENECK = Architecture((1, 1, 1, 1), bottleneck=True)
DEEP = ("resnet101", "resnet152", "resnext101_32x8d")
NAMES = [
    pytest.param(name, marks=pytest.mark.slow) if name in DEEP else name
    for name in TOTALS
]
# Strides, dilations, pooling; the image's size over that of every tap.
WAYS = [
    ((1, 2, 2, 2), (1, 1, 1, 1), True, (2, 4, 8, 16, 32)),
    ((1, 2, 2, 2), (1, 1, 1, 2), True, (2, 4, 8, 16, 32)),
    ((1, 2, 2, 1), (1, 1, 1, 2), True, (2, 4, 8, 16, 16)),
    ((1, 2, 1, 1), (1, 1, 2, 4), True, (2, 4, 8, 8, 8)),
    ((2, 2, 2, 2), (1, 1, 1, 2), False, (2, 4, 8, 16, 32)),
    ((1, 2, 2, 2), (1, 1, 2, 4), False, (2, 2, 4, 8, 16)),
    ((1, 2, 2, 1), (1, 2, 4, 6), False, (2, 2, 4, 8, 8)),
]


def build(name="resnet18", shape=(32, 32, 3), config=None):
    image = keras.Input(shape)
    return keras.Model(image, resnet(image, name, config))


@functools.cache
def plain(name="resnet18"):
    """A network that tests only read."""
    return build(name)


def noise(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def kernels(model):
    return {
        layer.name: tuple(layer.kernel.shape)
        for layer in model.layers
        if isinstance(layer, layers.Conv2D)
    }


# Sizes and counts


@pytest.mark.parametrize(("strides", "dilations", "pooling", "factors"), WAYS)
def test_taps_have_the_size_of_the_strides_so_far(strides, dilations, pooling, factors):
    config = ResNetConfig(strides, dilations, pooling=pooling)
    taps = build(BASIC, (64, 96, 1), config).output
    assert tuple(taps) == STAGES
    widths = (64, 64, 128, 256, 512)
    for tap, factor, width in zip(taps.values(), factors, widths, strict=True):
        assert tap.shape[1:] == (64 // factor, 96 // factor, width)


def test_a_bottleneck_leaves_four_times_the_width():
    taps = build(BOTTLENECK).output
    assert [tap.shape[-1] for tap in taps.values()] == [64, 256, 512, 1024, 2048]


@pytest.mark.parametrize("name", NAMES)
def test_parameter_counts_are_the_published_ones(name):
    assert set(TOTALS) == set(ARCHITECTURES)
    weights = plain(name).trainable_weights
    assert sum(int(np.prod(weight.shape)) for weight in weights) == TOTALS[name]


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_any_channel_count_fits(channels):
    model = build(BASIC, (32, 32, channels))
    assert kernels(model)["conv1"] == (7, 7, channels, 64)
    deepest = model(noise(1, 32, 32, channels))["stage5"]
    assert deepest.shape == (1, 1, 1, 512)
    assert np.isfinite(deepest).all()


def test_3x3_of_resnext_has_32_groups():
    shapes = kernels(plain("resnext50_32x4d"))
    assert shapes["layer1_0_conv1"] == (1, 1, 64, 128)
    assert shapes["layer1_0_conv2"] == (3, 3, 4, 128)
    assert shapes["layer4_2_conv2"] == (3, 3, 32, 1024)
    conv2 = plain("resnext50_32x4d").get_layer("layer1_0_conv2")
    assert conv2.count_params() == 3 * 3 * 128 * 128 // 32
    assert conv2.groups == 32


# Layers


def test_the_layer_that_ends_a_stage_has_the_name_of_its_tap():
    model = plain()
    for name in STAGES:
        assert model.get_layer(name).output is model.output[name]


@pytest.mark.parametrize(("name", "strided"), [(BASIC, 1), (BOTTLENECK, 2)])
def test_the_stride_is_on_the_first_3x3_of_a_stage(name, strided):
    model = build(name)
    strides = {
        layer.name
        for layer in model.layers
        if isinstance(layer, layers.Conv2D) and layer.strides == (2, 2)
    }
    blocks = [f"layer{stage}_0" for stage in (2, 3, 4)]
    expected = {f"{block}_conv{strided}" for block in blocks}
    expected |= {f"{block}_downsample_0" for block in blocks}
    assert strides == {"conv1"} | expected


def test_a_shortcut_has_a_convolution_only_where_size_or_width_changes():
    shortcuts = {name for name in kernels(plain()) if "downsample" in name}
    assert shortcuts == {f"layer{stage}_0_downsample_0" for stage in (2, 3, 4)}
    shortcuts = {name for name in kernels(plain("resnet50")) if "downsample" in name}
    assert shortcuts == {f"layer{stage}_0_downsample_0" for stage in (1, 2, 3, 4)}


def dilated(name, dilate):
    """Dilations above 1, by layer name."""
    config = ResNetConfig((1, 2, 1, 1), (1, 1, 2, 4), dilate)
    return {
        layer.name: layer.dilation_rate[0]
        for layer in build(name, config=config).layers
        if isinstance(layer, layers.Conv2D) and layer.dilation_rate != (1, 1)
    }


BASIC_BLOCKS = {"layer3_0": 2, "layer3_1": 2, "layer4_0": 4, "layer4_1": 4}


@pytest.mark.parametrize(
    ("dilate", "convolutions"), [("every", ("conv1", "conv2")), ("first", ("conv1",))]
)
def test_the_3x3_of_dilated_stages_are_dilated_by_the_rule(dilate, convolutions):
    assert dilated("resnet18", dilate) == {
        f"{block}_{convolution}": rate
        for block, rate in BASIC_BLOCKS.items()
        for convolution in convolutions
    }
    expected = {"layer3_0_conv2": 2, "layer4_0_conv2": 4}
    assert dilated(BOTTLENECK, dilate) == expected


def test_normalization_has_the_published_constants_and_convolutions_no_bias():
    norms = [n for n in plain().layers if isinstance(n, BatchNormalization)]
    assert len(norms) == 20
    assert {(norm.epsilon, norm.momentum) for norm in norms} == {(1e-5, 0.9)}
    convolutions = [c for c in plain().layers if isinstance(c, layers.Conv2D)]
    assert not any(convolution.use_bias for convolution in convolutions)


def test_kernels_start_with_the_deviation_of_their_fan_out():
    keras.utils.set_random_seed(0)
    kernel = build().get_layer("layer4_0_conv1").get_weights()[0]
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 512)), rel=0.01)


# Padding


def convolved(x, kernel, stride, dilation):
    """Convolution tap by tap, padded by as many zeros on either side."""
    size, padding = len(kernel), dilation * (len(kernel) - 1) // 2
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    ends = [side - dilation * (size - 1) for side in x.shape[1:3]]
    taps = itertools.product(range(size), repeat=2)
    return sum(
        x[:, k * dilation :, m * dilation :][:, : ends[0] : stride, : ends[1] : stride]
        @ kernel[k, m]
        for k, m in taps
    )


@pytest.mark.parametrize(
    ("size", "stride", "dilation"),
    [(3, 1, 1), (3, 2, 1), (7, 2, 1), (1, 2, 1), (3, 1, 2), (3, 2, 2), (3, 2, 4)],
)
@pytest.mark.parametrize("sides", [(6, 8), (5, 7)])
def test_convolutions_are_padded_on_both_sides_alike(size, stride, dilation, sides):
    image = keras.Input((*sides, 2))
    y = conv(image, 3, size, "conv", stride=stride, dilation=dilation)
    model = keras.Model(image, y)
    x, kernel = noise(2, *sides, 2), noise(size, size, 2, 3)
    model.get_layer("conv").set_weights([kernel])
    expected = convolved(x, kernel, stride, dilation)
    np.testing.assert_allclose(model(x), expected, atol=1e-4)


def test_groups_see_their_own_channels_only():
    image = keras.Input((4, 4, 4))
    model = keras.Model(image, conv(image, 6, 3, "conv", groups=2))
    x, kernel = noise(1, 4, 4, 4), noise(3, 3, 2, 6)
    model.get_layer("conv").set_weights([kernel])
    halves = [
        convolved(x[..., :2], kernel[..., :3], 1, 1),
        convolved(x[..., 2:], kernel[..., 3:], 1, 1),
    ]
    expected = np.concatenate(halves, axis=-1)
    np.testing.assert_allclose(model(x), expected, atol=1e-4)


def test_max_pooling_of_the_stem_is_padded_on_both_sides_alike():
    model = build(BASIC, (12, 16, 3))
    outputs = [model.get_layer(name).output for name in ("stage1", "maxpool")]
    before, after = keras.Model(model.input, outputs)(noise(1, 12, 16, 3))
    padding = ((0, 0), (1, 1), (1, 1), (0, 0))
    padded = np.pad(np.asarray(before), padding, constant_values=-np.inf)
    expected = [
        [padded[:, i : i + 3, j : j + 3].max(axis=(1, 2)) for j in range(0, 8, 2)]
        for i in range(0, 6, 2)
    ]
    # (1, 3, 4, 64)
    expected = np.moveaxis(np.array(expected), 2, 0)
    np.testing.assert_array_equal(after, expected)


# Hook


def test_hook_follows_the_stem_and_every_block():
    seen = []

    def note(x, name):
        seen.append((name, tuple(x.shape[1:3])))
        return x

    build(config=ResNetConfig(after_block=note))
    blocks = [(stage, index) for stage in (1, 2, 3, 4) for index in (0, 1)]
    assert seen == [("stem", (8, 8))] + [
        (f"layer{stage}_{index}", (16 // 2**stage,) * 2) for stage, index in blocks
    ]


def test_the_output_of_the_hook_goes_on_and_into_the_taps():
    def halve(x, name):
        return layers.Rescaling(0.5, name=f"hook_{name}")(x)

    model = build(BASIC, config=ResNetConfig(after_block=halve))
    for stage, name in enumerate(STAGES[1:], start=1):
        assert model.output[name] is model.get_layer(f"hook_layer{stage}_0").output
    following = model.get_layer("layer1_0_conv1").input
    assert following is model.get_layer("hook_stem").output
    following = model.get_layer("layer3_0_downsample_0").input
    assert following is model.get_layer("hook_layer2_0").output


# Layers of a backbone, and its name


def test_layers_of_the_backbone_are_found_among_others():
    taps = plain().output
    y = layers.Conv2D(2, 1, name="segmentation_head_0")(taps["stage5"])
    y = layers.Dense(2, name="layer_of_users")(y)
    model = keras.Model(plain().input, y)
    expected = [layer.name for layer in plain().layers if layer.weights]
    assert [layer.name for layer in layers_of(model)] == expected
    assert expected[:3] == ["conv1", "bn1", "layer1_0_conv1"]


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet34", "resnet50", "resnext50_32x4d"]
)
def test_shapes_of_kernels_tell_the_backbone(name):
    assert describe(kernels(plain(name))) == {"backbone": name, "channels": 3}


def test_shapes_of_other_kernels_tell_nothing():
    assert describe({"conv1": (7, 7, 3, 64)}) == {}
    shapes = kernels(plain())
    assert describe({**shapes, "layer1_2_conv1": (3, 3, 64, 64)}) == {}


# Refused


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match=r"resnet18, .*'resnet20'"):
        resnets.configs.architecture("resnet20")
    with pytest.raises(ValueError, match=r"backbone.*resnet20"):
        build("resnet20")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"strides": (1, 2, 2)}, r"strides.*four.*\(1, 2, 2\)"),
        ({"dilations": (1, 1, 1, 1, 1)}, r"dilations.*four.*\(1, 1, 1, 1, 1\)"),
        ({"strides": (0, 2, 2, 2)}, r"strides.*\(0, 2, 2, 2\)"),
        ({"strides": (1, 1.5, 2, 2)}, r"strides.*\(1, 1.5, 2, 2\)"),
        ({"dilations": (1, 1, 1, -2)}, r"dilations.*\(1, 1, 1, -2\)"),
        ({"dilations": (1, 1, 1, 3)}, r"stride.*\(1, 2, 2, 2\) and \(1, 1, 1, 3\)"),
        ({"dilate": "last"}, "dilate.*'every'.*'last'"),
    ],
)
def test_wrong_strides_and_dilations_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ResNetConfig(**options)
