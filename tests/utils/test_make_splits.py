"""Lists of images by protocol."""

import pytest
from PIL import Image

from kerasloc.data import check_disjoint, read_nih
from kerasloc.data.splits import apply_lists, make_lists, read_lists


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("make_splits")


@pytest.fixture
def nih(tmp_path):
    """Twenty patients with two images each; half of the patients have boxes."""
    root = tmp_path / "nih"
    (root / "images").mkdir(parents=True)
    names = [f"{p:08}_{v:03}.png" for p in range(1, 21) for v in (0, 1)]
    for name in names:
        Image.new("L", (8, 8)).save(root / "images" / name)
    rows = "".join(f"{name},Mass,{name[:8]}\n" for name in names)
    head = "Image Index,Finding Labels,Patient ID\n"
    (root / "Data_Entry_2017.csv").write_text(head + rows)
    (root / "train_val_list.txt").write_text("\n".join(names[:32]))
    (root / "test_list.txt").write_text("\n".join(names[32:]))
    boxes = "".join(f"{name},Mass,0,0,512,512,,,\n" for name in names[:40:4])
    (root / "BBox_List_2017.csv").write_text("a,b,c,,,\n" + boxes)
    return root


def words(nih, protocol, *more):
    data = ["--dataset", "nih14", "--data-dir", str(nih)]
    output = str(nih.parent / "lists")
    return [*data, "--protocol", protocol, "--output", output, *more]


def cells(text):
    return [line.split() for line in text.splitlines()]


@pytest.mark.parametrize("protocol", ["classification", "localization"])
def test_every_fold_has_a_folder(tool, nih, protocol):
    tool.main(words(nih, protocol, "--seed", "3"))
    table, output = read_nih(nih), nih.parent / "lists"
    assert sorted(p.name for p in output.iterdir()) == [f"fold{i}" for i in range(5)]
    for fold in range(5):
        lists = read_lists(output / f"fold{fold}")
        assert lists == make_lists(table, protocol, fold, 3)
        check_disjoint(apply_lists(table, lists))


@pytest.mark.parametrize("protocol", ["official", "no-boxes"])
def test_protocols_without_folds_write_to_the_folder_itself(tool, nih, protocol):
    tool.main(words(nih, protocol, "--val-share", "0.2"))
    lists = read_lists(nih.parent / "lists")
    assert lists == make_lists(read_nih(nih), protocol, val_share=0.2)


def test_the_counts_of_each_list_are_printed(tool, nih, capsys):
    tool.main(words(nih, "no-boxes"))
    lines = cells(capsys.readouterr().out)
    assert lines[0] == ["no-boxes,", "seed", "0:", str(nih)]
    assert lines[1:] == [
        ["list", "images", "with", "boxes", "patients"],
        ["all", "40", "10", "20"],
        [f"{nih.parent / 'lists'}:"],
        ["train", "18", "0", "9"],
        ["val", "2", "0", "1"],
        ["test", "10", "10", "10"],
        ["on", "no", "list", "10", "0", "10"],
    ]


def test_only_selected_folds_are_written(tool, nih, capsys):
    tool.main(words(nih, "localization", "--folds", "4", "1"))
    output = nih.parent / "lists"
    assert sorted(p.name for p in output.iterdir()) == ["fold1", "fold4"]
    assert f"{output / 'fold1'}:\n  train" in capsys.readouterr().out


def test_the_same_call_is_repeatable_and_another_seed_an_error(tool, nih):
    tool.main(words(nih, "localization"))
    tool.main(words(nih, "localization", "--seed=0"))
    with pytest.raises(ValueError, match=r"not overwritten[^/]*/.*train\.txt"):
        tool.main(words(nih, "localization", "--seed", "1"))


def test_images_in_another_folder_and_missing_images(tool, nih, capsys):
    (nih / "images").rename(nih.parent / "elsewhere")
    (nih.parent / "elsewhere" / "00000020_001.png").unlink()
    more = ["--image_dir", str(nih.parent / "elsewhere")]
    with pytest.raises(ValueError, match=r"image for every row.*\n  00000020_001"):
        tool.main(words(nih, "official", *more))
    tool.main(words(nih, "official", *more, "--on-error", "skip"))
    assert ["test", "7", "2", "4"] in cells(capsys.readouterr().out)


def test_folds_of_a_protocol_without_them_are_an_error(tool, nih):
    with pytest.raises(ValueError, match="Received: --folds with official"):
        tool.main(words(nih, "official", "--folds", "0"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("--folds", "5"), "invalid choice: 5"),
        (("--protocol", "detection"), "invalid choice: 'detection'"),
    ],
)
def test_wrong_choices_are_an_error(tool, nih, usage_error, change, message):
    assert message in usage_error(tool, words(nih, "localization", *change))


def test_errors_end_with_status_1_and_a_line(run_tool, nih):
    (nih / "BBox_List_2017.csv").unlink()
    done = run_tool("make_splits", words(nih, "localization"))
    assert done.returncode == 1
    assert done.stdout == ""
    error = "error: Expected images with boxes to test on by the protocol localization"
    assert done.stderr.splitlines()[-1].startswith(error)
    assert not (nih.parent / "lists").exists()
