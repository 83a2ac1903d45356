"""Every network answers what the published PyTorch one did, with the same weights."""

import numpy as np
import pytest

NETWORKS = [
    "pylon",
    "pylon_nopa_1layer_up2",
    pytest.param("pylon_resnet50", marks=pytest.mark.slow),
    "pylon_wide",
    "baseline_max",
    "baseline_avg",
    "li2018",
    "fpn",
    "fpn_groupnorm",
    "unet",
    "deeplabv3plus",
    "deeplabv3plus_nogap",
    "deeplabv3plus_rates",
    "deeplabv3plus_os8",
    "pan",
    "pan_nogap",
    "pan_wide",
]


def assert_near(answer, published):
    """Within 1e-4 of the published values' deviation, or 1e-5."""
    answer = np.asarray(answer)
    assert answer.shape == published.shape
    error = np.abs(answer - published).max()
    assert error < max(1e-4 * published.std(), 1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_logits_and_maps_equal_the_published_ones(name, network_golden):
    golden = network_golden(name)
    outputs = golden.build()(golden.images, training=False)
    step = golden.facts["every"]
    assert_near(outputs["logits"], golden.logits)
    assert_near(np.asarray(outputs["maps"])[:, ::step, ::step], golden.maps)
