"""scripts/train_baseline.py: which network with which options, and how it fails."""

import pathlib

import pytest

import kerasloc
from kerasloc.runs import read_config
from kerasloc.training import experiments

WORDS = ["--backbone", "resnet18", "--im-size", "64", "--no-evaluation"]


@pytest.fixture
def asked(monkeypatch):
    """The networks and folders that are asked for, in the place of trainings."""
    calls = []

    def train(run, tables, network, config, **how):
        calls.append((run.folder, network, config))

    monkeypatch.setattr(experiments, "train_maps", train)
    return calls


@pytest.fixture
def data(several):
    return ["--data-dir", str(several), "--dataset", "csv", *WORDS]


@pytest.mark.parametrize(
    ("model", "words", "options"),
    [
        ("li2018", ["--out-size", "10"], {"out_size": 10}),
        ("fpn", ["--norm", "groupnorm"], {"norm": "groupnorm"}),
        (
            "unet",
            ["--decoder-channels", *"84421"],
            {"decoder_channels": [8, 4, 4, 2, 1]},
        ),
        ("deeplabv3plus", ["--aspp", "nogap"], {"aspp": "nogap"}),
        ("pan", ["--no_use_gap"], {"use_gap": False}),
        ("baseline", ["--pooling", "avg"], {"pooling": "avg"}),
    ],
)
def test_a_model_is_trained_with_its_options_in_its_folder(
    main, asked, data, model, words, options
):
    main(["--model", model, *data, *words])
    ((folder, network, _),) = asked
    assert folder == pathlib.Path(f"results/{model}/several")
    assert network.family == model
    assert network.options == {"backbone": "resnet18", **options}
    assert read_config(folder)["network"]["options"] == network.options


def test_without_a_name_it_is_the_plain_classifier(main, asked, data):
    main(data)
    assert asked[0][1].family == "baseline"
    assert asked[0][1].options == {"backbone": "resnet18"}


@pytest.mark.parametrize(
    "words", [["--model=pan"], ["--model", "pan"], ["--mod", "pan"]]
)
def test_a_model_is_known_however_it_is_spelled(main, asked, data, words):
    main([*data, "--no-use-gap", *words])
    assert asked[0][1].options["use_gap"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "vgg"], "invalid choice: 'vgg'"),
        (["--model", "pylon"], "invalid choice: 'pylon'"),
        (["--model", "fpn", "--use-gap"], "unrecognized arguments: --use-gap"),
        (["--phases", "3"], "invalid choice: 3"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_words_that_are_none_end_with_the_usage(main, words, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert "usage:" in said
    assert message in said


def test_help_is_that_of_the_named_model(main, capsys):
    with pytest.raises(SystemExit) as end:
        main(["--model", "deeplabv3plus", "--help"])
    assert end.value.code == 0
    said = capsys.readouterr().out
    assert "--atrous-rates" in said
    assert "--pooling" not in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pooling", "median"], "pooling is 'max' or 'avg'"),
        (["--model", "fpn", "--norm", "layer"], "norm is 'batchnorm' or 'groupnorm'"),
        (["--model", "fpn", "--norm", "groupnorm", "--groups", "7"], "groups divide"),
        (["--model", "unet", "--decoder-channels", "8"], "Received"),
        (["--model", "deeplabv3plus", "--output-stride", "4"], "output_stride is 16"),
        (["--im-size", "50"], "Nearest that fits"),
    ],
)
def test_wrong_options_are_explained(failure, data, words, message):
    assert message in failure(*data, *words)


@pytest.mark.slow
@pytest.mark.usefixtures("eager")
def test_the_plain_classifier_trains_and_measures(main, data):
    words = [*data, "--epochs", "1", "--batch-size", "10", "--im-size", "32"]
    main([*words, "--evaluation", "--augmentation", "none"])
    wrapper = kerasloc.load("results/baseline/several")
    assert type(wrapper) is kerasloc.Baseline
    assert len(wrapper.config.thresholds) == 3
    assert pathlib.Path("results/baseline/several/evaluation/metrics.csv").is_file()
