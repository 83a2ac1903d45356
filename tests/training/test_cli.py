"""Command lines from frozen configurations: spellings, help, errors for people."""

import dataclasses
import logging
import os
import pathlib
import subprocess
import sys

import pytest

from kerasloc.configs import option
from kerasloc.data.config import DataConfig
from kerasloc.models import families
from kerasloc.training import cli
from kerasloc.training.configs import PER_PHASE

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path.stem for path in (ROOT / "scripts").glob("*.py"))
HELP = """
import runpy, sys
sys.argv = ["x.py", "--help"]
try:
    runpy.run_path({path!r}, run_name="__main__")
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", [name for name in ("tensorflow", "keras") if name in sys.modules])
"""


def parser(family="pylon"):
    return cli.training_parser(family, "Trains.", "examples: none", without=())


@pytest.fixture
def parse():
    """Function from words to the options of PYLON's training."""
    return parser().parse_args


@pytest.fixture
def usage_error(capsys):
    """Function from words (and a family) to the error that argparse prints."""

    def fail(words, family="pylon"):
        with pytest.raises(SystemExit) as end:
            parser(family).parse_args(words)
        assert end.value.code == 2
        return capsys.readouterr().err

    return fail


# Words


def test_underscores_are_dashes_and_values_keep_theirs(parse):
    dashed = ["--batch-size", "4", "--im-size=32", "--data-dir=my_data/a_b"]
    underscored = ["--batch_size", "4", "--im_size=32", "--data_dir=my_data/a_b"]
    assert parse(underscored) == parse(dashed)
    assert parse(["--mixed_precision", "mixed_bfloat16"]).precision == "mixed_bfloat16"
    assert parse(underscored).data_dir == "my_data/a_b"


def test_words_come_from_the_command_line_by_default(parse, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["script.py", "--batch_size", "7"])
    assert parse().batch_size == 7


@pytest.mark.parametrize(
    ("text", "size"), [("96", 96), ("96x128", (96, 128)), ("96,128", (96, 128))]
)
def test_sizes_are_one_number_or_two(parse, text, size):
    assert parse(["--im-size", text]).im_size == size


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--im-size", "big"], "--im-size"),
        (["--batch-size", "many"], "'many'"),
        (["--optimizer", "lion"], "'lion'"),
        (["--mixed-precision", "half"], "'half'"),
        (["--on-error", "ignore"], "'ignore'"),
        (["--seeds", "0", "x"], "Received: 0 x"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_words_end_with_the_usage(usage_error, words, message):
    error = usage_error(words)
    assert "usage:" in error
    assert message in error


@pytest.mark.parametrize(
    ("family", "words", "options"),
    [
        ("pylon", ["--n-up", "2", "--up-type", "1layer"], {"n_up": 2}),
        ("pylon", ["--gpu", "-1"], {"gpu": "-1", "backbone": None}),
        ("baseline", ["--pooling", "avg"], {"pooling": "avg"}),
        ("li2018", ["--min-val", "0.9", "--out-size", "12"], {"min_val": 0.9}),
        ("unet", ["--decoder-channels", "8", "4"], {"decoder_channels": (8, 4)}),
        ("deeplabv3plus", ["--atrous-rates", "6", "12"], {"atrous_rates": (6, 12)}),
        ("pan", ["--no-use-gap"], {"use_gap": False}),
        ("fpn", ["--norm", "groupnorm", "--groups", "8"], {"groups": 8}),
        ("full", ["--half-weight-dir", "a"], {"half": "a"}),
        ("half", ["--momentum", ".5", "-bs", "3"], {"momentum": 0.5, "batch_size": 3}),
        ("ham", ["--crf", "--folds", "0", "4"], {"crf": True, "folds": (0, 4)}),
        ("ham", ["--protocol", "no-boxes"], {"protocol": "no-boxes"}),
        ("ham", ["--boxes-weight", "0.25"], {"boxes_weight": 0.25}),
        ("ham", ["--classes", "a, b", "c"], {"classes": ("a, b", "c")}),
        ("explainer", ["--epochs", "4,5", "6"], {"epochs": (4, 5, 6)}),
        ("explainer", ["-lr_clf", "0.1,0,0.1"], {"classifier_rate": (0.1, 0.0, 0.1)}),
        ("explainer", ["--opt", "sgd", "-clf", "vgg"], {"classifier": "vgg"}),
        ("explainer", ["--class-weights", "balanced"], {"class_weights": "balanced"}),
        ("explainer", ["--class-weights", "1", "2.5"], {"class_weights": (1.0, 2.5)}),
    ],
)
def test_options_have_the_kind_of_their_field(family, words, options):
    values = vars(parser(family).parse_args(words))
    assert options.items() <= values.items()


INVALID = {
    "pylon": "--phases 3|--backbone vgg|--start|--pooling x|--n-up 4|--up-type 3layer",
    "ham": "--select loss|--decay cosine|--downsampling 12|--protocol folds|"
    "--uncertain maybe|--patience 3|--boxes-wieght 1|--decoder-channels 8",
}


@pytest.mark.parametrize(
    ("family", "words"),
    [(f, w) for f, text in INVALID.items() for w in text.split("|")],
)
def test_invalid_words_of_a_family_end_with_the_usage(usage_error, family, words):
    assert "usage:" in usage_error(words.split(), family)


def test_words_for_class_weights_are_limited(usage_error):
    error = usage_error(["--class-weights", "1", "heavy"], "explainer")
    assert "--class-weights" in error
    assert "1 heavy" in error


@pytest.mark.parametrize("family", families.names())
def test_every_field_of_a_family_is_an_option_and_unset_ones_are_left_out(family):
    record = families.get(family)
    options = parser(family).parse_args([])
    expected = {
        field.name
        for config in (record.load("training"), DataConfig, record.options)
        for field in dataclasses.fields(config)
    } - {"freeze_encoder", "fold"}  # --phases, --folds
    expected -= {"align_weight"} if family == "half" else set()
    assert expected | {"seeds", "folds", "evaluation"} <= set(vars(options))
    assert cli.overrides(options) == {}


def test_families_have_no_options_of_others():
    names = {
        family: set(vars(parser(family).parse_args([]))) for family in ("ham", "pylon")
    }
    assert {"select", "crf", "annotated_weight"} <= names["ham"] - names["pylon"]
    assert {"phases", "patience"} <= names["pylon"] - names["ham"]
    assert set(PER_PHASE) <= set(vars(parser("explainer").parse_args([])))


# A file of options


@pytest.fixture
def config(tmp_path):
    """Function that writes lines into a file of options."""

    def write(*lines):
        (tmp_path / "c.toml").write_text("\n".join(lines))
        return str(tmp_path / "c.toml")

    return write


def test_a_file_of_options_equals_words(parse, config):
    path = config(
        'dataset = "nih14"  # comment',
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
    options = vars(parse(["--config", path]))
    assert options == {**vars(parse(words)), "config": path}
    assert (options["seeds"], options["use_pa"]) == ((0, 4), False)


def test_the_command_line_wins_over_the_file(parse, config):
    path = config("epochs = 5", "seeds = [0, 1, 2]", "use_pa = false", "im_size = 64")
    words = ["--epochs", "9", "--seeds", "7", "--use-pa"]
    for line in ([*words, "--config", path], [f"--config={path}", *words]):
        options = parse(line)
        assert (options.epochs, options.seeds, options.use_pa) == (9, (7,), True)
        assert options.im_size == 64


def test_true_is_the_option_and_false_its_opposite(parse, config):
    assert parse(["--config", config("use_pa = true")]).use_pa is True
    options = parse(["--config", config("evaluation = false")])
    assert (options.evaluation, options.use_pa) == (False, None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["wings = 2"], "unrecognized arguments: --wings 2"),
        (["pooling = 'max'"], "unrecognized arguments: --pooling max"),  # not PYLON's
        (["[training]", "epochs = 2"], "unrecognized arguments: --training"),
        (["epochs = 'many'"], "argument --epochs: invalid int value: 'many'"),
        (["cache = false"], "unrecognized arguments: --no-cache"),
        (["epochs ="], "--config takes a readable toml file"),
        (None, "nowhere.toml: [Errno 2] No such file"),
    ],
)
def test_a_wrong_file_of_options_is_explained(usage_error, config, lines, message):
    path = "nowhere.toml" if lines is None else config(*lines)
    assert message in usage_error(["--config", path])


@pytest.mark.parametrize("flag", ["--conf", "--con"])
def test_an_abbreviated_config_is_read(parse, config, flag):
    assert parse([flag, config("epochs = 5")]).epochs == 5
    assert parse(["--channels", "3", "--cache", "memory"]).epochs is None


# Help


@dataclasses.dataclass(frozen=True)
class Base:
    size: int = option(3, "size of 5 % of the image in pixels.")
    rate: float = option(1e-4, "Rate.")
    path: str | None = option(None, "Path (default: of the data).")
    hidden: int = 0


@dataclasses.dataclass(frozen=True)
class Small(Base):
    size: int = 2


def test_help_shows_defaults_and_what_presets_change():
    made = cli.Parser("", "")
    presets = {"default": {"rate": 0.5}, "embedded": {"rate": 0.5, "path": "x"}}
    presets["nih14"] = presets["vindr"] = {"size": 9}
    cli.add_options(made, Small, "network", presets=presets)
    text = " ".join(made.format_help().split())
    assert "Size of 5 % of the image in pixels (default: 2; nih14, vindr: 9)" in text
    assert "Rate (default: 0.5)" in text
    assert "Path (default: of the data; embedded data: x)" in text
    assert "hidden" not in text
    made = cli.Parser("", "")
    cli.add_options(made, Base, "a", without=("rate", "path"))
    assert vars(made.parse_args([])) == {"size": None}


@pytest.mark.parametrize("family", families.names())
def test_every_option_of_a_training_shows_its_default(family):
    for action in parser(family)._actions[1:]:
        assert "(default: " in action.help, action.dest


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


# Errors


@pytest.mark.parametrize("error", [ValueError, TypeError, ImportError, OSError])
def test_a_users_mistake_ends_in_one_line(error):
    def main():
        raise error("Sizes are numbers. Received: x.")

    with pytest.raises(SystemExit) as end:
        cli.run_main(main)
    assert end.value.code == "error: Sizes are numbers. Received: x."


def test_hidden_characters_in_the_name_of_a_file_are_shown_as_escapes():
    def main():
        raise ValueError("Received: a\u202egnp.exe\x1b[2J.\nSee b.png.")

    with pytest.raises(SystemExit) as end:
        cli.run_main(main)
    assert end.value.code == ("error: Received: a\\u202egnp.exe\\x1b[2J.\nSee b.png.")


def test_a_bug_keeps_its_traceback_and_an_interruption_explains_itself(capsys):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(ZeroDivisionError):
        cli.run_main(lambda: 1 / 0)
    with pytest.raises(SystemExit) as end:
        cli.run_main(interrupted)
    assert end.value.code == 130
    assert "stopped by SIGINT" in (text := capsys.readouterr().err)
    assert "the same command resumes" in text


def test_the_status_of_a_main_is_that_of_the_process():
    with pytest.raises(SystemExit, match="3"):
        cli.run_main(lambda: 3)
    for status in (None, 0, "text", []):
        cli.run_main(lambda status=status: status)


def test_other_libraries_do_not_log():
    cli.run_main(lambda: None)
    assert logging.getLogger("matplotlib").level == logging.WARNING
