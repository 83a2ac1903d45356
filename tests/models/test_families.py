"""The registry, and that builders, options and wrappers of a family agree."""

import dataclasses
import inspect
import subprocess
import sys

import pytest

from kerasloc.models import families

NAMES = families.names()


@pytest.mark.parametrize("name", NAMES)
def test_builders_have_the_options_of_their_family_with_the_same_defaults(name):
    parameters = inspect.signature(families.get(name).load("build")).parameters
    assert list(parameters)[:2] == ["input_shape", "classes"]
    kinds = {parameter.kind for parameter in parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    defaults = {key: value.default for key, value in list(parameters.items())[2:]}
    assert defaults == families.option_defaults(name)


@pytest.mark.parametrize("name", NAMES)
def test_every_option_has_a_help_and_its_default_is_among_the_choices(name):
    for field in dataclasses.fields(families.get(name).options):
        assert field.metadata["help"].endswith(".")
        choices = field.metadata["choices"]
        assert choices is None or field.default in choices


@pytest.mark.parametrize("name", NAMES)
def test_help_on_a_wrapper_shows_every_option_with_its_default(name):
    wrapper = families.get(name).load("localizer")
    assert wrapper.family == name
    parameters = inspect.signature(wrapper).parameters
    assert list(parameters)[:2] == ["weights", "num_classes"]
    for option, default in families.option_defaults(name).items():
        assert parameters[option].default == default
    assert "options" not in parameters


@pytest.mark.parametrize("name", NAMES)
def test_records_name_what_exists(name):
    family = families.get(name)
    for field in ("build", "localizer", "trainer", "evaluator", "describe"):
        assert callable(family.load(field))
    assert dataclasses.is_dataclass(family.load("training"))
    assert family.description.endswith(".")
    assert family.commands


@pytest.mark.parametrize("name", NAMES)
def test_presets_are_options_of_the_network_the_training_or_the_data(name):
    from kerasloc.data.config import DataConfig

    family = families.get(name)
    configs = (family.options, family.load("training"), DataConfig)
    known = {field.name for config in configs for field in dataclasses.fields(config)}
    for preset in family.presets.values():
        assert set(preset) <= known | {"im_size", "channels", "evaluation"}


def test_presets_are_chosen_by_dataset():
    pylon = families.get("pylon")
    assert pylon.preset(None, embedded=True)["im_size"] == 96
    assert pylon.preset("nih14")["augmentation"] == "xray"
    assert pylon.preset("voc") == pylon.preset(None) == pylon.presets["default"]
    assert dataclasses.replace(pylon, presets={}).preset("nih14") == {}


def test_an_unknown_family_is_refused():
    for call in (families.get, families.unregister):
        with pytest.raises(ValueError, match=r"pylon.*Received: 'pilon'"):
            call("pilon")


@pytest.mark.parametrize(
    "change", [{"name": ""}, {"name": "a/b"}, {"name": None}, {"build": None}]
)
def test_a_record_without_a_name_or_a_builder_is_refused(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        dataclasses.replace(families.get("pylon"), **change)


def test_a_family_is_registered_for_a_block_and_removed_by_name():
    other = dataclasses.replace(families.get("pylon"), name="other")
    with families.registered(other):
        assert families.names() == (*NAMES, "other")
        replaced = dataclasses.replace(other, description="Another.")
        with families.registered(replaced):
            assert families.get("other") is replaced
        assert families.get("other") is other
    assert families.names() == NAMES
    families.register(other)
    families.unregister("other")
    assert families.names() == NAMES


def test_the_registry_loads_no_deep_learning_library():
    code = (
        "import sys; from kerasloc.models import families; families.get('ham').presets;"
        "print({'keras', 'tensorflow'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
