"""Published checkpoints of the explainer-classifier: names, outputs, refusals."""

import json
import pathlib
import types

import numpy as np
import pytest

import kerasloc
from kerasloc.models import families
from kerasloc.weights import load_torch

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
NAMES = ("xml_vgg", "xml_resnet18")
ARRAYS = {"xml_vgg": 58, "xml_resnet18": 138}
PREFIX = "module.model."
FIRST = "explainer.conv_mod0.conv0.weight"


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def checkpoint(name, network_golden, published, torch_writer, tmp_path_factory):
    """A published state and its file, its images and outputs, and its wrapper."""
    facts = json.loads((GOLDENS / "xml_networks.json").read_text())[name]
    stored = np.load(GOLDENS / "xml_networks.npz")
    unused = {f"{name}/logits": None, f"{name}/maps": None}
    golden = type(network_golden("baseline_max"))(name, facts, unused)
    arrays = golden.arrays()
    for key, value in facts["override"].items():
        arrays[key][...] = value
    state = published(arrays, PREFIX)
    path = torch_writer(tmp_path_factory.mktemp("published") / "model.pth", state)
    size = facts["input_shape"][1:3]
    wrapper = kerasloc.ExplainerClassifier(path, im_size=size)
    return types.SimpleNamespace(
        facts=facts,
        images=np.clip(0.5 + 0.25 * golden.images, 0, 1),
        expected={key: stored[f"{name}/{key}"] for key in ("explanation", "logits")},
        arrays=arrays,
        state=state,
        path=path,
        wrapper=wrapper,
        model=wrapper.model,
    )


def test_explanations_and_logits_equal_the_published_ones(checkpoint):
    outputs = checkpoint.model(checkpoint.images, training=False)
    step = checkpoint.facts["every"]
    sampled = {
        "explanation": np.asarray(outputs["explanation"])[:, ::step, ::step],
        "logits": np.asarray(outputs["logits"]),
    }
    for key, expected in checkpoint.expected.items():
        assert sampled[key].shape == expected.shape
        limit = max(1e-4 * expected.std(), 1e-5)
        assert np.abs(sampled[key] - expected).max() < limit, key
    assert checkpoint.expected["explanation"].std() > 0.1


def test_every_published_array_is_matched_by_its_bare_name(name, checkpoint):
    model = checkpoint.model
    weights = model.get_weights()
    model.set_weights([0 * weight for weight in weights])
    matched = load_torch(model, checkpoint.arrays)
    assert (matched.matched, matched.ignored) == (ARRAYS[name], ())
    assert len(model.weights) == ARRAYS[name]
    for array, expected in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(array, expected)
    matched = load_torch(checkpoint.wrapper, checkpoint.state)
    assert matched.matched == ARRAYS[name]
    assert {kind.rpartition(".")[2] for kind in matched.ignored} == {
        "num_batches_tracked"
    }


def test_a_published_file_tells_its_options_and_sizes(checkpoint):
    config = checkpoint.wrapper.config
    assert config.options == checkpoint.facts["options"]
    assert (config.num_classes, config.channels, config.multi_label) == (3, 3, False)


def test_only_its_family_recognizes_the_file(checkpoint):
    arrays = {
        layer.name: {weight.name: np.asarray(weight) for weight in layer.weights}
        for layer in checkpoint.model.layers
        if layer.weights
    }
    described = {
        key: families.get(key).load("describe")(arrays) for key in families.names()
    }
    assert described.pop("explainer")["options"] == checkpoint.facts["options"]
    assert not any(described.values())
    with pytest.raises(ValueError, match=r"Baseline.*like: explainer"):
        kerasloc.Baseline(checkpoint.path)


def test_arrays_that_do_not_fit_leave_the_network_as_it_was(checkpoint, unchanged):
    model, first = checkpoint.model, PREFIX + FIRST
    state = {key: array + 1 for key, array in checkpoint.state.items()}
    missing = {key: array for key, array in state.items() if key != first}
    surplus = {f"{PREFIX}explainer.conv_mod9.weight": np.ones(1)}
    for arrays, message in (
        (missing, "got nothing: explainer_conv_mod0_conv0/k"),
        (state | {first: np.ones((32, 3, 5, 5))}, rf"{first} \(32, 3, 5, 5\)"),
        (state | surplus, r"unknown to the network: .*conv_mod9"),
    ):
        with unchanged(model), pytest.raises(ValueError, match=message):
            load_torch(model, arrays)


OPTIONS = {  # that do not fit the file, and the error
    "xml_vgg": ({"num_classes": 5}, r"of another shape: .*last_dense"),
    "xml_resnet18": ({"classifier": "vgg"}, r"unknown to the network: .*sb1\.block0"),
}


def test_options_that_do_not_fit_the_file_are_refused(name, checkpoint):
    options, text = OPTIONS[name]
    with pytest.raises(ValueError, match=text):
        kerasloc.ExplainerClassifier(checkpoint.path, im_size=32, **options)
