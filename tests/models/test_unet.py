"""U-Net's widths and skips; parity: test_goldens."""

from kerasloc.models.unet import unet


def test_widths_are_those_asked_for_and_skips_come_second():
    model = unet((32, 64, 1), 2, "resnet18", decoder_channels=(9, 8, 7, 6, 5))
    kernels = [
        tuple(model.get_layer(f"blocks_{index}_{part}_0").kernel.shape)
        for index in range(5)
        for part in ("conv1", "conv2")
    ]
    assert kernels == [
        (3, 3, 512 + 256, 9),
        (3, 3, 9, 9),
        (3, 3, 9 + 128, 8),
        (3, 3, 8, 8),
        (3, 3, 8 + 64, 7),
        (3, 3, 7, 7),
        (3, 3, 7 + 64, 6),
        (3, 3, 6, 6),
        (3, 3, 6, 5),
        (3, 3, 5, 5),
    ]
    up, skip = model.get_layer("blocks_0_concat").input
    assert up is model.get_layer("blocks_0_up").output
    assert skip is model.get_layer("stage4").output
    assert tuple(model.get_layer("segmentation_head_0").kernel.shape) == (3, 3, 5, 2)


def test_published_widths_are_the_defaults():
    model = unet((32, 32, 1), 2, "resnet18")
    widths = [model.get_layer(f"blocks_{i}_conv2_0").filters for i in range(5)]
    assert widths == [256, 128, 64, 32, 16]
