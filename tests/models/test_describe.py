"""What the shapes of weights tell about the network that they are of."""

import numpy as np
import pytest

from kerasloc.models import explainer, families

DESCRIBE = {name: families.get(name).load("describe") for name in families.names()}
PYLON = [
    *("decoder_channels", "use_pa", "n_up"),
    *("head_kernel_size", "up_type", "up_kernel_size"),
]
CASES = [
    ("baseline", "resnet18", {}),
    ("baseline", "resnet34", {}),
    ("baseline", "resnet50", {}),
    ("baseline", "resnext50_32x4d", {}),
    ("pylon", "resnet18", dict(zip(PYLON, (8, True, 3, 1, "2layer", 3), strict=True))),
    (
        "pylon",
        "resnet18",
        dict(zip(PYLON, (16, False, 1, 3, "1layer", 1), strict=True)),
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
    known = DESCRIBE[family](arrays)
    assert known == {
        "class_names": ["class 0", "class 1", "class 2"],
        "channels": 2,
        "options": {"backbone": backbone, **options},
    }
    for other in set(DESCRIBE) - {family}:
        assert DESCRIBE[other](arrays) == {}


@pytest.mark.parametrize("classifier", ["resnet50", "vgg"])
def test_an_explainer_tells_its_classifier(classifier):
    model = explainer.explainer_classifier((32, 32, 2), 3, classifier)
    arrays = arrays_of(model)
    assert explainer.describe(arrays) == {
        "class_names": ["class 0", "class 1", "class 2"],
        "channels": 2,
        "options": {"classifier": classifier},
    }
    for other in set(DESCRIBE) - {"explainer"}:
        assert DESCRIBE[other](arrays) == {}
    alone = {k: v for k, v in arrays.items() if k.startswith("explainer")}
    assert explainer.describe(alone) == {}


def test_pylon_without_up_modules_tells_so():
    model = families.get("pylon").load("build")((32, 32, 1), 2, "resnet18", n_up=0)
    options = DESCRIBE["pylon"](arrays_of(model))["options"]
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
    options = DESCRIBE["deeplabv3plus"](arrays_of(model))["options"]
    assert options["aspp"] == "original"


@pytest.mark.parametrize("family", sorted(DESCRIBE))
def test_what_is_no_network_of_the_family_tells_nothing(family):
    describe = DESCRIBE[family]
    assert describe({}) == {}
    assert describe({"dense": {"kernel": np.zeros((2, 3))}}) == {}
    lone = {"conv1": {"0": np.zeros((7, 7, 3, 64))}, "out": {"0": np.zeros((2, 2))}}
    assert describe(lone) == {}


def test_the_half_and_full_model_tell_their_options():
    options = {"growth": 4, "blocks": 1, "layers_per_block": 2, "initial_filters": 8}
    for family in ("half", "full"):
        build = families.get(family).load("build")
        known = DESCRIBE[family](arrays_of(build((32, 32, 1), 3, **options)))
        assert (known["options"], known["channels"]) == (options, 1)
        assert len(known["class_names"]) == 3
