"""scripts/train_baseline.py: which network with which options, and how it fails."""

import pathlib

import pytest

import kerasloc

WORDS = ["--backbone", "resnet18", "--im-size", "64", "--no-evaluation"]


@pytest.fixture
def data(multi_label_data):
    return ["--data-dir", str(multi_label_data), "--dataset", "csv", *WORDS]


@pytest.mark.parametrize(
    ("model", "words", "options"),
    [
        ("li2018", ["--out-size", "10"], {"out_size": 10}),
        ("fpn", ["--norm", "groupnorm"], {"norm": "groupnorm"}),
        (
            "unet",
            ["--decoder-channels", *"84421"],
            {"decoder_channels": (8, 4, 4, 2, 1)},
        ),
        ("deeplabv3plus", ["--aspp", "nogap"], {"aspp": "nogap"}),
        ("pan", ["--no_use_gap"], {"use_gap": False}),
        ("baseline", ["--pooling", "avg"], {"pooling": "avg"}),
    ],
)
def test_a_model_is_trained_with_its_options_in_its_folder(
    main, recorded, data, model, words, options
):
    trainers = recorded(model)
    main(["--model", model, *data, *words])
    (trainer,) = trainers
    assert trainer.run.folder == pathlib.Path(f"results/{model}/several")
    assert trainer.network.family == model
    assert trainer.network.options == {"backbone": "resnet18", **options}


def test_the_default_is_the_plain_classifier(main, recorded, data):
    trainers = recorded("baseline")
    main(data)
    assert trainers[0].network.options == {"backbone": "resnet18"}


@pytest.mark.parametrize(
    "words", [["--model=pan"], ["--model", "pan"], ["--mod", "pan"]]
)
def test_a_model_may_be_spelled_in_several_ways(main, recorded, data, words):
    trainers = recorded("pan")
    main([*data, "--no-use-gap", *words])
    assert trainers[0].network.options["use_gap"] is False


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "vgg"], "invalid choice: 'vgg'"),
        (["--model", "pylon"], "invalid choice: 'pylon'"),
        (["--model", "fpn", "--use-gap"], "unrecognized arguments: --use-gap"),
        (["--phases", "3"], "invalid choice: 3"),
        (["--pooling", "median"], "invalid choice: 'median'"),
        (["--model", "fpn", "--norm", "layer"], "invalid choice: 'layer'"),
        (["--model", "deeplabv3plus", "--output-stride", "4"], "invalid choice: 4"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_invalid_words_end_with_the_usage(main, words, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    text = capsys.readouterr().err
    assert "usage:" in text
    assert message in text


def test_help_is_that_of_the_named_model(main, capsys):
    with pytest.raises(SystemExit) as end:
        main(["--model", "deeplabv3plus", "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert "--atrous-rates" in text
    assert "--pooling" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "fpn", "--norm", "groupnorm", "--groups", "7"], "groups=7"),
        (["--model", "unet", "--decoder-channels", "8"], "Received"),
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
