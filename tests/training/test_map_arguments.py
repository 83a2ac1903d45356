"""The options of networks of maps on the command line."""

import pytest

from kerasloc.backbones.resnet import ARCHITECTURES
from kerasloc.models.registry import BUILDERS, option_defaults
from kerasloc.training.map_arguments import BACKBONES, OPTIONS


def test_the_backbones_are_those_that_there_are():
    assert tuple(ARCHITECTURES) == BACKBONES
    assert list(OPTIONS) == list(BUILDERS)


@pytest.mark.parametrize("family", OPTIONS)
def test_the_options_are_those_of_the_builder(family):
    assert OPTIONS[family] == option_defaults(family)
