"""What a network is, read from a run folder."""

import dataclasses
import json

import pytest

from kerasloc.configs import CONFIG_FILE, NetworkConfig, read_network


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


def test_equal_descriptions_are_equal_whatever_they_were_made_of(network):
    other = dataclasses.replace(network, class_names=("cat", "dog"), im_size=(64, 96))
    assert network == other
    assert network != dataclasses.replace(network, channels=1)


def test_a_description_comes_back_from_its_file(network, tmp_path):
    text = json.dumps({"network": vars(network), "data": {}})
    (tmp_path / CONFIG_FILE).write_text(text)
    assert read_network(tmp_path) == network


def test_a_folder_without_a_description_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds a config.json. Received: .*has none"):
        read_network(tmp_path)
    with pytest.raises(ValueError, match="has none"):
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
    with pytest.raises(ValueError, match="does not describe a network"):
        read_network(tmp_path)
