"""The options of networks of maps on the command line."""

import dataclasses

import pytest

from kerasloc.backbones.configs import ARCHITECTURES
from kerasloc.data.config import DataConfig
from kerasloc.data.datasets import READERS
from kerasloc.models.registry import BUILDERS, option_defaults
from kerasloc.training import arguments
from kerasloc.training.configs import HamTraining, MapTraining
from kerasloc.training.map_arguments import BACKBONES, OPTIONS, add_map_options


def test_the_backbones_are_those_that_there_are():
    assert tuple(ARCHITECTURES) == BACKBONES
    assert list(OPTIONS) == list(BUILDERS)


@pytest.mark.parametrize("family", OPTIONS)
def test_the_options_are_those_of_the_builder(family):
    assert OPTIONS[family] == option_defaults(family)


def parser(family):
    made = arguments.Parser("", "")
    arguments.add_data_options(made)
    arguments.add_training_options(made)
    add_map_options(made, family)
    return made


def names(family):
    return set(vars(parser(family).parse_args([])))


def fields(config):
    return {field.name for field in dataclasses.fields(config)}


@pytest.mark.parametrize("family", OPTIONS)
def test_everything_that_a_training_and_its_data_decide_can_be_asked_for(family):
    ham = family == "ham"
    training = fields(HamTraining if ham else MapTraining)
    own = {"freeze_encoder"}  # by --phases
    data = fields(DataConfig) - {"fold"}  # by --folds
    data -= set() if ham else {"box_share"}  # labels alone are learned from
    assert (training - own) | data | {"folds", "seeds"} <= names(family)


def test_families_have_their_own_options_only():
    only_ham = {"select", "crf", "box_share", "annotated_weight", "decay"}
    assert only_ham <= names("ham")
    assert not only_ham & names("pylon")
    assert {"phases", "patience"} <= names("pylon") - names("ham")


@pytest.mark.parametrize("family", OPTIONS)
def test_what_is_not_asked_for_is_left_to_the_configuration(family):
    given = arguments.given(parser(family).parse_args([]))
    assert set(given) == {"results_dir", "evaluation"}


def test_options_of_ham_are_of_their_kinds():
    words = "--crf --box-share 0.5 --folds 0 4 --protocol no-boxes --decay-epochs 3"
    words += " --boxes-weight 0.25 --no-using-pooling --select tior --uncertain zeros"
    options = parser("ham").parse_args(words.split())
    assert (options.crf, options.box_share, options.folds) == (True, 0.5, [0, 4])
    assert (options.protocol, options.decay_epochs) == ("no-boxes", 3)
    assert (options.boxes_weight, options.using_pooling) == (0.25, False)
    assert (options.select, options.uncertain) == ("tior", "zeros")


def test_the_data_sets_are_those_that_can_be_read():
    assert set(arguments.DATASETS) == set(READERS)
