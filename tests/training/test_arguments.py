"""The command line: spellings, help, errors for people."""

import dataclasses
import logging
import os
import pathlib
import subprocess
import sys

import pytest

from kerasloc.data.config import DataConfig
from kerasloc.training import arguments, map_arguments

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = ("pretrain_half", "train_full", "evaluate")
HELP = """
import runpy, sys
sys.argv = ["x.py", "--help"]
try:
    runpy.run_path({path!r}, run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", [name for name in ("tensorflow", "keras") if name in sys.modules])
"""


@pytest.fixture
def parser():
    parser = arguments.Parser("Trains.", "examples: none")
    arguments.add_data_options(parser)
    arguments.add_training_options(parser)
    arguments.add_network_options(parser)
    return parser


def test_underscores_are_dashes(parser):
    dashed = ["--batch-size", "4", "--im-size=32", "--data-dir=a"]
    underscored = ["--batch_size", "4", "--im_size=32", "--data_dir=a"]
    assert parser.parse_args(underscored) == parser.parse_args(dashed)
    assert parser.parse_args(dashed).batch_size == 4


def test_values_keep_their_underscores(parser):
    words = ["--results_name", "my_run", "--data_dir=my_data/a_b", "--mixed_precision"]
    options = parser.parse_args([*words, "mixed_bfloat16"])
    assert options.results_name == "my_run"
    assert options.data_dir == "my_data/a_b"
    assert options.precision == "mixed_bfloat16"


def test_words_come_from_the_command_line(parser, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script.py", "--batch_size", "7"])
    assert parser.parse_args().batch_size == 7


@pytest.mark.parametrize(
    ("text", "size"), [("96", 96), ("96x128", (96, 128)), ("96,128", (96, 128))]
)
def test_sizes_are_a_number_or_two(parser, text, size):
    assert arguments.size(text) == size
    assert parser.parse_args(["--im-size", text]).im_size == size


@pytest.mark.parametrize(
    "words",
    [
        ["--im-size", "big"],
        ["--batch-size", "many"],
        ["--optimizer", "lion"],
        ["--mixed-precision", "half"],
        ["--on-error", "ignore"],
        ["--nonsense"],
    ],
)
def test_wrong_words_end_with_the_usage(parser, words, capsys):
    with pytest.raises(SystemExit) as end:
        parser.parse_args(words)
    assert end.value.code == 2
    assert "usage:" in capsys.readouterr().err


# A file of options


@pytest.fixture
def maps_parser(parser):
    map_arguments.add_map_options(parser, "pylon")
    return parser


@pytest.fixture
def config(tmp_path):
    """Function that writes lines into a file of options."""

    def write(*lines):
        (tmp_path / "c.toml").write_text("\n".join(lines))
        return str(tmp_path / "c.toml")

    return write


def test_a_file_of_options_is_as_good_as_words(maps_parser, config):
    path = config(
        'dataset = "nih14"  # of a kind',
        "im_size = 64",
        "learning-rate = 1e-6",
        "seeds = [0, 4]",
        "use_pa = false",
        "gpu = -1",
        'mixed_precision = "mixed_bfloat16"',
        'start = "results/a b-s{seed}"',
    )
    words = ["--dataset", "nih14", "--im-size", "64", "--learning-rate", "1e-6"]
    words += ["--seeds", "0", "4", "--no-use-pa", "--gpu", "-1"]
    words += ["--mixed-precision", "mixed_bfloat16", "--start", "results/a b-s{seed}"]
    found = vars(maps_parser.parse_args(["--config", path]))
    assert found == {**vars(maps_parser.parse_args(words)), "config": path}
    assert found["seeds"] == [0, 4]
    assert found["use_pa"] is False


def test_the_command_line_wins_over_the_file(maps_parser, config):
    path = config("epochs = 5", "seeds = [0, 1, 2]", "use_pa = false", "im_size = 64")
    words = ["--epochs", "9", "--seeds", "7", "--use-pa"]
    for given in ([*words, "--config", path], [f"--config={path}", *words]):
        options = maps_parser.parse_args(given)
        assert (options.epochs, options.seeds, options.use_pa) == (9, [7], True)
        assert options.im_size == 64


def test_true_is_the_option_and_false_its_opposite(maps_parser, config):
    assert maps_parser.parse_args(["--config", config("use_pa = true")]).use_pa is True
    options = maps_parser.parse_args(["--config", config("evaluation = false")])
    assert options.evaluation is False
    assert options.use_pa is None


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["wings = 2"], "unrecognized arguments: --wings 2"),
        (["pooling = 'max'"], "unrecognized arguments: --pooling max"),  # not PYLON's
        (["[training]", "epochs = 2"], "unrecognized arguments: --training"),
        (["epochs = 'many'"], "argument --epochs: invalid int value: 'many'"),
        (["cache = false"], "unrecognized arguments: --no-cache"),
        (["epochs ="], "--config takes a readable toml file"),
    ],
)
def test_a_wrong_file_of_options_is_explained(
    maps_parser, config, capsys, lines, message
):
    with pytest.raises(SystemExit) as end:
        maps_parser.parse_args(["--config", config(*lines)])
    assert end.value.code == 2
    assert message in capsys.readouterr().err


def test_a_file_of_options_that_is_not_there_is_named(maps_parser, capsys):
    with pytest.raises(SystemExit):
        maps_parser.parse_args(["--config", "nowhere.toml"])
    assert "nowhere.toml: [Errno 2] No such file" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["--conf", "--con"])
def test_an_abbreviated_config_is_not_passed_over(maps_parser, config, flag):
    assert maps_parser.parse_args([flag, config("epochs = 5")]).epochs == 5
    assert (
        maps_parser.parse_args(["--channels", "3", "--cache", "memory"]).epochs is None
    )


@pytest.mark.parametrize(
    ("family", "words", "options"),
    [
        ("pylon", ["--n-up", "2", "--up-type", "1layer"], {"n_up": 2}),
        ("baseline", ["--pooling", "avg"], {"pooling": "avg"}),
        ("li2018", ["--min-val", "0.9", "--out-size", "12"], {"min_val": 0.9}),
        ("unet", ["--decoder-channels", "8", "4"], {"decoder_channels": [8, 4]}),
        ("deeplabv3plus", ["--atrous-rates", "6", "12"], {"atrous_rates": [6, 12]}),
        ("pan", ["--no-use-gap"], {"use_gap": False}),
        ("fpn", ["--norm", "groupnorm", "--groups", "8"], {"groups": 8}),
    ],
)
def test_a_family_has_its_own_options(parser, family, words, options):
    map_arguments.add_map_options(parser, family)
    found = vars(parser.parse_args(words))
    assert options.items() <= found.items()
    assert found["backbone"] is None  # so the published one


def test_the_cpu_can_be_asked_for(parser):
    assert parser.parse_args(["--gpu", "-1"]).gpu == "-1"


def test_only_what_was_given_counts(parser):
    given = arguments.given(parser.parse_args(["--seed", "0", "--epochs", "3"]))
    assert given == {"seed": 0, "epochs": 3, "results_dir": "results"}


def test_a_dataclass_takes_its_own_of_the_values():
    @dataclasses.dataclass
    class Config:
        seed: int = 1
        epochs: int = 2

    made = arguments.make(Config, {"seed": 5, "wings": 3})
    assert made == Config(seed=5, epochs=2)


def test_classes_with_spaces_come_from_options_and_toml(parser, tmp_path):
    parser.add_argument("--config")
    (tmp_path / "a.toml").write_text('classes = ["z\u00e8bre", "cheval de trait"]')
    words = ["--classes", "z\u00e8bre", "cheval de trait"]
    for extra in (words, ["--config", str(tmp_path / "a.toml")]):
        options = parser.parse_args(["--data-dir", "/a", *extra])
        config = arguments.make(DataConfig, arguments.given(options))
        assert config.classes == ("z\u00e8bre", "cheval de trait")


def test_a_run_lies_in_its_familys_folder(parser):
    options = parser.parse_args(["--results-dir", "out"])
    assert arguments.run_folder(options, "half", "shapes") == pathlib.Path(
        "out/half/shapes"
    )
    options = parser.parse_args(["--results-name", "mine"])
    assert arguments.run_folder(options, "full", "shapes") == pathlib.Path(
        "results/full/mine"
    )


@pytest.mark.parametrize("error", [ValueError, TypeError, ImportError, OSError])
def test_a_users_mistake_ends_in_one_line(error):
    def main():
        raise error("Sizes are numbers. Received: x.")

    with pytest.raises(SystemExit) as end:
        arguments.run_main(main)
    assert end.value.code == "error: Sizes are numbers. Received: x."


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        arguments.run_main(lambda: 1 / 0)


def test_an_interrupted_script_says_how_to_go_on():
    def main():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as end:
        arguments.run_main(main)
    assert "the same command goes on" in end.value.code


def test_other_libraries_do_not_talk():
    arguments.run_main(lambda: None)
    assert logging.getLogger("matplotlib").level == logging.WARNING


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_shows_examples_at_once_and_loads_no_tensorflow(name, tmp_path):
    path = str(ROOT / "scripts" / f"{name}.py")
    done = subprocess.run(
        [sys.executable, "-c", HELP.format(path=path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"python scripts/{name}.py" in done.stdout
    assert "LOADED []" in done.stdout
    assert list(tmp_path.iterdir()) == []
