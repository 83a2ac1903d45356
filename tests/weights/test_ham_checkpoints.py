"""HAM's published checkpoints: they load by name, with the published outputs."""

import numpy as np
import pytest

import kerasloc
from kerasloc.models.ham import ham
from kerasloc.weights import load_torch

SHARPEST = 1e-3  # soft masks are steep


def build(facts, **options):
    options = {**facts["options"], **options}
    shape = tuple(facts["input_shape"][1:])
    return ham(shape, facts["classes"], facts["backbone"], **options)


def assert_near(outputs, published, step):
    """Within 1e-4 of the published values' deviation, or 1e-5; soft masks 1e-3."""
    assert sorted(outputs) == sorted(published)
    for name, expected in published.items():
        output, refined = np.asarray(outputs[name]), "refined" in name
        output = output[:, ::step, ::step] if refined else output
        assert output.shape == expected.shape
        limit = SHARPEST if refined else max(1e-4 * expected.std(), 1e-5)
        assert np.abs(output - expected).max() < limit, name


@pytest.mark.parametrize(
    "name",
    [
        "ham",
        "ham_ds32",
        pytest.param("ham_resnet50", marks=pytest.mark.slow),
        pytest.param("ham_resnext50", marks=pytest.mark.slow),
    ],
)
def test_all_outputs_equal_the_published_ones(name, ham_golden, published):
    golden, expected = ham_golden(name)
    model = build(golden.facts)
    matched = load_torch(model, published(golden.arrays()))
    assert matched.matched == len(golden.arrays()) == len(model.weights)
    assert all(key.endswith("num_batches_tracked") for key in matched.ignored)
    outputs = model(golden.images, training=False)
    assert_near(outputs, expected, golden.facts["every"])


@pytest.fixture(scope="module")
def checkpoint(ham_golden, published, torch_writer, tmp_path_factory):
    """A golden network and a file such as the published ones."""
    golden, expected = ham_golden("ham")
    path = tmp_path_factory.mktemp("published") / "checkpoint.pt"
    return golden, expected, torch_writer(path, published(golden.arrays()))


def test_a_published_file_makes_its_wrapper(checkpoint):
    golden, expected, path = checkpoint
    wrapper = kerasloc.HAM(path, im_size=96)
    assert wrapper.config.options == {"backbone": "resnet18"}
    assert (wrapper.config.num_classes, wrapper.config.channels) == (4, 3)
    assert (wrapper.config.mean, wrapper.config.std) == ((0.5,), (0.5,))
    outputs = wrapper.model(golden.images, training=False)
    assert_near(outputs, expected, golden.facts["every"])
    assert kerasloc.HAM.default_size == 512


def test_strides_that_files_do_not_tell_are_options(checkpoint):
    _, _, path = checkpoint
    options = {"downsampling": 16, "using_dilation": False}
    wrapper = kerasloc.HAM(path, im_size=64, class_names=list("abcd"), **options)
    assert wrapper.config.options == {"backbone": "resnet18", **options}
    assert wrapper.model.output["maps"].shape == (None, 4, 4, 4)
    with pytest.raises(ValueError, match="got nothing: layer1_0_downsample_0"):
        kerasloc.HAM(path, im_size=64, downsampling=32, using_pooling=False)


def test_the_wrapper_of_another_family_names_the_family_of_the_file(checkpoint):
    with pytest.raises(ValueError, match=r"Pylon.*like: ham"):
        kerasloc.Pylon(checkpoint[2])


def test_files_of_other_networks_are_refused(network_golden, torch_writer, tmp_path):
    path = torch_writer(tmp_path / "net.pt", network_golden("baseline_max").arrays())
    for wrapper in (kerasloc.HAM, kerasloc.ExplainerClassifier):
        with pytest.raises(ValueError, match=r"like: baseline"):
            wrapper(path)


def test_another_class_count_than_the_files_is_refused(checkpoint):
    with pytest.raises(ValueError, match=r"of another shape: .*cls_fc"):
        kerasloc.HAM(checkpoint[2], im_size=64, num_classes=5)
