"""scripts/configs/*.toml: each is an experiment that its script understands."""

import functools
import pathlib
import re
import tomllib

import pytest

from kerasloc.backbones.configs import ARCHITECTURES
from kerasloc.configs import select_fields
from kerasloc.models import families
from kerasloc.training.cli import overrides
from kerasloc.training.configs import ExplainerTraining, HamTraining, MapTraining

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"
FILES = sorted((SCRIPTS / "configs").glob("*.toml"))
NAMED_SCRIPTS = ("pylon", "ham", "explainer")
HAM = {
    "batch_size": 24,
    "optimizer": "adam",
    "learning_rate": 2e-5,
    "weight_decay": 1e-4,
    "decay": "step",
    "decay_epochs": 10,
    "augmentation": "ham",
    "annotated_weight": 1.0,
    "crf": False,
    **{f"{name}_weight": weight for name, weight in HamTraining().term_weights.items()},
}
EXPLAINER = {  # by what stands in the file's name
    "hvz": {"epochs": (10, 10, 100), "alpha": (1.0, 0.25, 0.9)},
    "nih_nci": {"epochs": (30, 10, 50), "alpha": (1.0, 0.25, 0.99)},
}
PUBLISHED = {
    "epochs": 40,
    "batch_size": 64,
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "patience": 1,
    "factor": 0.2,
    "stop_rate": 1e-6,
}


@functools.cache
def output_shape(family, channels, **options):
    """Of the logits of a small network with these options."""
    model = families.get(family).load("build")(
        (64, 64, channels), 2, "resnet18", **options
    )
    return model.output["logits"].shape


def header(path):
    """The comment at the top, as one text."""
    lines = path.read_text().splitlines()
    return "\n".join(line.lstrip("# ") for line in lines if line.startswith("#"))


def command(path):
    """The words of the command in the header."""
    text = header(path).replace("\\\n", " ")
    (line,) = re.findall(r"^python (scripts/.*)$", text, re.MULTILINE)
    return line.split()


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request):
    return request.param


def family_of(path):
    return re.match(r"[a-z0-9]+", path.stem).group()


@pytest.fixture
def options(path, script, monkeypatch):
    """What the header's command asks for."""
    monkeypatch.chdir(SCRIPTS.parent)
    program, *words = command(path)
    return script(pathlib.Path(program).stem).parse(words)


def test_there_is_one_for_every_model():
    assert {family_of(path) for path in FILES} == set(families.names()) - {
        "half",
        "full",
    }


def test_the_command_names_the_script_the_file_and_the_data(path):
    program, *words = command(path)
    family = family_of(path)
    named = family in NAMED_SCRIPTS
    assert program == f"scripts/train_{family if named else 'baseline'}.py"
    assert ("--model" not in words) if named else words[:2] == ["--model", family]
    index = words.index("--config")
    assert words[index + 1] == f"scripts/configs/{path.name}"
    assert words[index + 2] == "--data-dir"


def test_the_header_says_what_was_published(path):
    assert "Published" in header(path)


def test_the_experiment_is_the_published_one(path, options):
    if family_of(path) in ("ham", "explainer"):
        return
    training = MapTraining(**select_fields(MapTraining, overrides(options)))
    for name, value in PUBLISHED.items():
        assert getattr(training, name) == value, name
    assert options.seeds == (0, 1, 2, 3, 4)
    assert options.backbone == "resnet50"
    assert options.results_name.startswith(options.dataset)
    assert f"_{options.im_size}" in path.stem or "to_vindr" in path.stem
    gray = {"channels": 1, "augmentation": "xray"}
    colored = {"channels": 3, "augmentation": "voc"}
    expected = colored if options.dataset == "voc" else gray
    assert expected.items() <= vars(options).items()


def test_the_experiment_with_ham_is_the_published_one(path, options):
    if family_of(path) != "ham":
        return
    training = HamTraining(**select_fields(HamTraining, overrides(options)))
    for name, value in HAM.items():
        assert getattr(training, name) == value, name
    folds = options.protocol in ("classification", "localization")
    assert training.epochs == (30 if folds else 20)
    assert options.folds == ((0, 1, 2, 3, 4) if folds else None)
    assert training.select == (
        "tiou" if options.protocol == "localization" else "auroc"
    )
    assert (options.im_size, options.channels) == (512, 3)
    assert options.backbone == "resnet50"
    assert options.start == "imagenet"
    assert options.results_name.startswith(options.dataset)


@pytest.mark.parametrize("name", EXPLAINER)
def test_the_experiments_with_the_explainer_are_the_published_ones(name, script):
    file = SCRIPTS / "configs" / f"explainer_{name}.toml"
    options = script("train_explainer").parse(["--config", str(file)])
    training = ExplainerTraining(**select_fields(ExplainerTraining, overrides(options)))
    published = {
        **EXPLAINER[name],
        "classifier_rate": (0.01, 0.0, 0.01),
        "explainer_rate": (0.0, 0.01, 0.01),
        "optimizer": ("sgd", "sgd", "sgd"),
        "patience": (100, 100, 10),
        "min_delta": 1e-4,
        "beta": 0.9,
        "gamma": 1.0,
        "loss": "hybrid",
        "aug_prob": 0.2,
    }
    assert {key: getattr(training, key) for key in published} == published
    assert (options.init_bias, options.classifier) == (3.0, "resnet18")
    assert (options.im_size, options.dataset) == (224, options.results_name)


def test_there_is_one_for_every_published_experiment_with_ham(script):
    parse = script("train_ham").parse
    files = [path for path in FILES if path.stem.startswith("ham_nih14")]
    protocols = [parse(["--config", str(path)]).protocol for path in files]
    assert sorted(protocols) == [
        "classification",
        "localization",
        "no-boxes",
        "official",
    ]


def test_the_network_takes_every_option(path, options):
    family = family_of(path)
    if family == "explainer":
        return
    names = families.option_defaults(family)
    values = {name: v for name, v in overrides(options).items() if name in names}
    assert values["backbone"] in ARCHITECTURES
    del values["backbone"]
    fixed = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    assert output_shape(family, options.channels, **fixed) == (None, 2)


def test_a_transfer_starts_from_the_runs_of_another_file(path, options):
    if "_to_" not in path.stem:
        scratch = family_of(path) == "explainer"
        assert options.start == (None if scratch else "imagenet")
        return
    source = path.with_name(f"{family_of(path)}_nih14_256.toml")
    assert source.name in header(path)
    name = tomllib.loads(source.read_text())["results_name"]
    assert options.start == f"results/{family_of(path)}/{name}-s{{seed}}"
    assert options.phases == int(re.search(r"(\d)phase", path.stem).group(1))


def test_runs_of_one_family_have_different_names():
    names = [
        (family_of(path), tomllib.loads(path.read_text())["results_name"])
        for path in FILES
    ]
    assert len(set(names)) == len(names)


def test_a_file_of_another_model_is_not_trained_by_mistake(path, script, capsys):
    if family_of(path) in NAMED_SCRIPTS:
        return  # its script trains nothing else
    words = ["--config", str(path)]
    assert script("train_baseline").parse(words).model == family_of(path)
    with pytest.raises(SystemExit):
        script("train_pylon").parse(words)
    assert "--model" in capsys.readouterr().err
