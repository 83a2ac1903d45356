"""FPN's options; parity: test_goldens."""

import keras
import pytest

from kerasloc.models.fpn import fpn


def build(**options):
    return fpn((64, 96, 1), 2, "resnet18", **options)


def test_each_level_goes_up_to_a_quarter_of_the_image():
    model = build(pyramid_channels=8, decoder_channels=8, groups=4)
    assert tuple(model.get_layer("seg_blocks").output.shape[1:]) == (16, 24, 8)
    counts = [
        sum(
            layer.name.startswith(f"seg_blocks_{level}_block") and pick in layer.name
            for layer in model.layers
        )
        for pick in ("_relu", "_up")
        for level in range(4)
    ]
    assert counts == [3, 2, 1, 1, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("norm", "kind"),
    [
        ("batchnorm", keras.layers.BatchNormalization),
        ("groupnorm", keras.layers.GroupNormalization),
    ],
)
def test_norm_is_the_one_asked_for(norm, kind):
    layer = build(norm=norm).get_layer("seg_blocks_3_block_0_block_1")
    assert isinstance(layer, kind)
    assert layer.epsilon == 1e-5


def test_published_options_are_the_defaults():
    model = build(norm="groupnorm")
    assert tuple(model.get_layer("p5").kernel.shape) == (1, 1, 512, 256)
    assert model.get_layer("p5").use_bias
    first = model.get_layer("seg_blocks_0_block_0_block_0")
    assert (tuple(first.kernel.shape), first.use_bias) == ((3, 3, 256, 128), False)
    assert model.get_layer("seg_blocks_0_block_0_block_1").groups == 32
