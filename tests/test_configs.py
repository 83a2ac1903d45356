"""What a network is, read from a run folder."""

import dataclasses
import json

import pytest

from kerasloc.configs import NetworkConfig, check_rules, classes_in_words
from kerasloc.runs import CONFIG_FILE, read_network


@pytest.fixture
def network():
    return NetworkConfig(
        family="full",
        class_names=["cat", "dog"],
        im_size=[64, 96],
        options={"growth": 8, "blocks": 2},
    )


def test_numbers_follow_from_names_and_sizes(network):
    assert network.num_classes == 2
    assert network.input_shape == (64, 96, 3)


def test_the_name_can_be_read(network):
    assert network.name == "full-2classes-64x96x3-blocks2-growth8"


def test_in_words_it_says_what_the_network_is(network):
    text = "2 classes: cat, dog; 64 x 96 x 3; blocks=2; growth=8"
    assert str(network) == text
    options = {"backbone": "resnet18", "n_up": 2}
    changed = {"options": options, "channels": 1, "multi_label": True, "folded": True}
    text = "2 classes: cat, dog; 64 x 96 x 1; resnet18; n_up=2; multi-label; folded"
    assert str(dataclasses.replace(network, **changed)) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1 class: 0"),
        (5, "5 classes: 0, 1, 2, 3, 4"),
        (398, "398 classes: 0, 1, 2, 3, 4 and 393 more"),
    ],
)
def test_of_many_classes_the_first_are_named(count, text):
    assert classes_in_words([str(index) for index in range(count)]) == text


def test_equal_descriptions_are_equal_whatever_they_were_made_of(network):
    other = dataclasses.replace(network, class_names=("cat", "dog"), im_size=(64, 96))
    assert network == other
    assert network != dataclasses.replace(network, channels=1)


def test_a_description_comes_back_from_its_file(network, tmp_path):
    text = json.dumps({"network": vars(network), "data": {}})
    (tmp_path / CONFIG_FILE).write_text(text)
    assert read_network(tmp_path) == network


def test_a_folder_without_a_description_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"config.json. Received: "):
        read_network(tmp_path)
    with pytest.raises(ValueError, match="nowhere"):
        read_network(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    [
        '{"network": {"family": "half"',
        "{}",
        '{"network": {"family": "half"}}',
        '{"network": {"family": "half", "class_names": ["a"], "im_size": [1, 1], '
        '"wings": 2}}',
        '{"network": 3}',
        "[]",
    ],
)
def test_a_file_that_describes_no_network_is_refused(tmp_path, text):
    (tmp_path / CONFIG_FILE).write_text(text)
    with pytest.raises(ValueError, match=r"network.*config\.json"):
        read_network(tmp_path)


# Normalization and thresholds


def test_numbers_for_all_stay_one_and_lists_become_tuples(network):
    other = dataclasses.replace(network, mean=0.5, std=[0.1, 0.2, 0.3], thresholds=0)
    assert (other.mean, other.std) == ((0.5,), (0.1, 0.2, 0.3))
    assert other.thresholds == (0.0,)


def test_defaults_leave_images_alone_and_decide_at_a_half(network):
    assert (network.mean, network.std) == ((0.0,), (1.0,))
    assert (network.thresholds, network.folded) == ((0.5,), False)


def test_normalization_thresholds_and_folding_come_back(network, tmp_path):
    new = dataclasses.replace(
        network, mean=[0.1, 0.2, 0.3], std=0.25, thresholds=[0.1, 0.9], folded=True
    )
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"network": vars(new)}))
    assert read_network(tmp_path) == new


def test_descriptions_of_earlier_versions_can_be_read(network, tmp_path):
    old = dict(vars(network))
    for name in ("mean", "std", "thresholds", "folded"):
        old.pop(name)
    (tmp_path / CONFIG_FILE).write_text(json.dumps({"network": old}))
    assert read_network(tmp_path) == network


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"mean": [0.1, 0.2]}, "3 for mean"),
        ({"mean": float("nan")}, "3 for mean"),
        ({"mean": [[0.1, 0.2, 0.3]]}, "3 for mean"),
        ({"mean": []}, "3 for mean"),
        ({"std": [1, 2]}, "3 for std"),
        ({"std": 0}, "std above 0"),
        ({"std": [0.1, 0.1, -0.1]}, "std above 0"),
        ({"std": float("inf")}, "std"),
        ({"mean": float("-inf")}, "mean"),
        ({"thresholds": [0.5, 0.5, 0.5]}, "2 for thresholds"),
        ({"thresholds": 1.5}, "thresholds in"),
        ({"thresholds": float("nan")}, "thresholds"),
        ({"thresholds": [0.5, -0.1]}, "thresholds in"),
        ({"thresholds": "half"}, "thresholds"),
        ({"thresholds": None}, "thresholds"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(network, wrong, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(network, **wrong)


def test_broken_rules_are_named_with_the_values_received():
    check_rules({"a of 1": True}, "a=1")
    with pytest.raises(ValueError, match=r"b of 2; c of 3\. Received: a=1\.$"):
        check_rules({"a of 1": True, "b of 2": False, "c of 3": False}, "a=1")
