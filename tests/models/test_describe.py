"""What the shapes of weights tell about the network that they are of."""

import numpy as np
import pytest

from kerasloc.models import (
    baseline,
    deeplabv3plus,
    explainer,
    families,
    fpn,
    ham,
    hrcam,
    li2018,
    pan,
    pylon,
    unet,
)

MODULES = {
    "pylon": pylon,
    "baseline": baseline,
    "li2018": li2018,
    "fpn": fpn,
    "unet": unet,
    "deeplabv3plus": deeplabv3plus,
    "pan": pan,
    "ham": ham,
    "explainer": explainer,
}
CASES = [
    ("baseline", "resnet18", {}),
    ("baseline", "resnet34", {}),
    ("baseline", "resnet50", {}),
    ("baseline", "resnext50_32x4d", {}),
    (
        "pylon",
        "resnet18",
        {
            "decoder_channels": 8,
            "use_pa": True,
            "n_up": 3,
            "head_kernel_size": 1,
            "up_type": "2layer",
            "up_kernel_size": 3,
        },
    ),
    (
        "pylon",
        "resnet18",
        {
            "decoder_channels": 16,
            "use_pa": False,
            "n_up": 1,
            "head_kernel_size": 3,
            "up_type": "1layer",
            "up_kernel_size": 1,
        },
    ),
    ("li2018", "resnet18", {"decoder_channels": 8}),
    (
        "fpn",
        "resnet18",
        {"pyramid_channels": 8, "decoder_channels": 32, "norm": "groupnorm"},
    ),
    (
        "fpn",
        "resnet18",
        {"pyramid_channels": 12, "decoder_channels": 8, "norm": "batchnorm"},
    ),
    ("unet", "resnet18", {"decoder_channels": [16, 12, 8, 4, 2]}),
    ("deeplabv3plus", "resnet18", {"decoder_channels": 8, "aspp": "original"}),
    ("deeplabv3plus", "resnet18", {"decoder_channels": 8, "aspp": "nogap"}),
    ("pan", "resnet18", {"decoder_channels": 8, "use_gap": True}),
    ("pan", "resnet18", {"decoder_channels": 8, "use_gap": False}),
    ("ham", "resnet18", {}),
    ("ham", "resnet18", {"downsampling": 32, "using_pooling": False}),
]


def arrays_of(model):
    """Stand-ins of a network's arrays as a weight file has them."""
    return {
        layer.name: {
            str(position): np.broadcast_to(np.float32(0), weight.shape)
            for position, weight in enumerate(layer.weights)
        }
        for layer in model.layers
        if layer.weights
    }


@pytest.mark.parametrize(("family", "backbone", "options"), CASES)
def test_weights_tell_how_to_build_their_network(family, backbone, options):
    model = families.get(family).load("build")((32, 32, 2), 3, backbone, **options)
    arrays = arrays_of(model)
    known = MODULES[family].describe(arrays)
    assert known == {
        "class_names": ["class 0", "class 1", "class 2"],
        "channels": 2,
        "options": {"backbone": backbone, **options},
    }
    for other in set(MODULES) - {family}:
        assert MODULES[other].describe(arrays) == {}
    assert hrcam.describe(arrays) == {}


@pytest.mark.parametrize("classifier", ["resnet50", "vgg"])
def test_an_explainer_tells_its_classifier(classifier):
    model = explainer.explainer_classifier((32, 32, 2), 3, classifier)
    arrays = arrays_of(model)
    assert explainer.describe(arrays) == {
        "class_names": ["class 0", "class 1", "class 2"],
        "channels": 2,
        "options": {"classifier": classifier},
    }
    for other in set(MODULES) - {"explainer"}:
        assert MODULES[other].describe(arrays) == {}
    assert hrcam.describe(arrays) == {}
    alone = {k: v for k, v in arrays.items() if k.startswith("explainer")}
    assert explainer.describe(alone) == {}


def test_pylon_without_up_modules_tells_so():
    model = families.get("pylon").load("build")((32, 32, 1), 2, "resnet18", n_up=0)
    options = pylon.describe(arrays_of(model))["options"]
    assert options == {
        "backbone": "resnet18",
        "decoder_channels": 128,
        "use_pa": True,
        "n_up": 0,
        "head_kernel_size": 1,
    }


def test_another_number_of_atrous_branches_builds_that_many():
    rates = [2, 4]
    model = families.get("deeplabv3plus").load("build")(
        (32, 32, 1), 2, "resnet18", atrous_rates=rates
    )
    options = deeplabv3plus.describe(arrays_of(model))["options"]
    assert options["aspp"] == "original"


@pytest.mark.parametrize("family", sorted(MODULES))
def test_what_is_no_network_of_the_family_tells_nothing(family):
    describe = MODULES[family].describe
    assert describe({}) == {}
    assert describe({"dense": {"kernel": np.zeros((2, 3))}}) == {}
    lone = {"conv1": {"0": np.zeros((7, 7, 3, 64))}, "out": {"0": np.zeros((2, 2))}}
    assert describe(lone) == {}


def test_the_half_and_full_model_tell_their_options():
    options = {"growth": 4, "blocks": 1, "layers_per_block": 2, "initial_filters": 8}
    for builder in (hrcam.half_densenet, hrcam.full_densenet):
        known = hrcam.describe(arrays_of(builder((32, 32, 1), 3, **options)))
        assert (known["options"], known["channels"]) == (options, 1)
        assert len(known["class_names"]) == 3
