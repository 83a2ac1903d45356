"""Image folders from a table of labels."""

import json

import pytest
from PIL import Image

from kerasloc.data import check, read_folders

NIH = """\
Image Index,Finding Labels,Follow-up #,Patient ID,OriginalImage[Width,Height]
1_0.png,Heart,0,1,10,10
1_1.png,Heart|Fluid,1,1,10,10
2_0.png,Lung,0,2,10,10
2_1.png,Lung|Heart,1,2,10,10
3_0.png,Fluid,0,3,10,10
4_0.png,Lung|Infiltration,0,4,10,10
5_0.png,Heart,0,5,10,10
6_0.png,Lung,0,6,10,10
"""


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("make_folders")


@pytest.fixture
def nih(tmp_path):
    """A table in NIH's style with its images in two folders; gives the arguments."""
    (tmp_path / "table.csv").write_text(NIH)
    for line in NIH.splitlines()[1:]:
        name = line.split(",")[0]
        folder = tmp_path / "images" / f"part{name[0] > '2'}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 20 * int(name[0]) + int(name[2])).save(folder / name)
    names = {"table": "table.csv", "images": "images", "out": "out"}
    arguments = [f"--{option}={tmp_path / name}" for option, name in names.items()]
    return [*arguments, "--classes", "Heart", "Lung"]


def tree(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.png"))


def test_images_with_exactly_one_of_the_classes_are_taken(tool, nih, tmp_path, capsys):
    (tmp_path / "test.txt").write_text("5_0.png\n6_0.png\n")
    tool.main([*nih, "--test-list", str(tmp_path / "test.txt")])
    assert tree(tmp_path / "out") == [
        "test/Heart/5_0.png",
        "test/Lung/6_0.png",
        "train/Heart/1_0.png",
        "train/Heart/1_1.png",
        "train/Lung/2_0.png",
        "train/Lung/4_0.png",
    ]
    lines = capsys.readouterr().out.splitlines()
    assert "6 images; 2 rows with none or several" in lines[0]
    assert [line.split() for line in lines[1:5]] == [
        ["test", "Heart", "1"],
        ["test", "Lung", "1"],
        ["train", "Heart", "2"],
        ["train", "Lung", "2"],
    ]
    assert len(check(read_folders(tmp_path / "out"))[0]) == 6


def test_only_images_without_further_labels_are_taken_on_request(tool, nih, tmp_path):
    tool.main([*nih, "--only", "--test-share", "0.5"])
    names = {path.split("/")[-1] for path in tree(tmp_path / "out")}
    assert names == {"1_0.png", "2_0.png", "5_0.png", "6_0.png"}


def test_a_test_share_keeps_patients_on_one_side(tool, nih, tmp_path):
    tool.main([*nih, "--test_share", "0.4", "--seed", "1"])
    sides = {}
    for path in tree(tmp_path / "out"):
        split, _, name = path.split("/")
        sides.setdefault(name[0], set()).add(split)
    assert all(len(side) == 1 for side in sides.values())
    assert len(read_folders(tmp_path / "out").split("test").class_names) == 2


def test_a_list_that_divides_a_patient_is_an_error(tool, nih, tmp_path, usage_error):
    (tmp_path / "test.txt").write_text("1_0.png\n6_0.png\n")
    words = [*nih, "--test-list", str(tmp_path / "test.txt")]
    assert "1: test, train" in usage_error(tool, words)
    assert not (tmp_path / "out").exists()


def test_boxes_are_scaled_and_renamed(tool, nih, tmp_path):
    (tmp_path / "boxes.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n"
        "1_1.png,Heart,2,4,6,8,,,\n"
        "1_1.png,Fluid,1,1,1,1,,,\n"
        "4_0.png,Infiltrate,2,2,4,4,,,\n"
        "9_9.png,Lung,1,1,1,1,,,\n"
    )
    boxes = ["--boxes", str(tmp_path / "boxes.csv"), "--box-scale", "0.5"]
    tool.main([*nih, "--test-share", "0.5", *boxes])
    content = json.loads((tmp_path / "out/annotations.json").read_text())
    assert list(content["boxes"].values()) == [[[1.0, 2.0, 3.0, 4.0, "Heart"]]]
    assert read_folders(tmp_path / "out").boxes[0, 1:].tolist() == [1, 2, 3, 4, 0]
    boxes = tool.read_boxes(tmp_path / "boxes.csv", 1.0)
    assert boxes["4_0.png"] == [[2, 2, 4, 4, "Infiltration"]]


def test_boxes_in_another_scale_are_an_error(tool, nih, tmp_path, usage_error):
    (tmp_path / "boxes.csv").write_text(
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n1_1.png,Heart,16,4,8,8,,,\n"
    )
    words = [*nih, "--boxes", str(tmp_path / "boxes.csv")]
    message = usage_error(tool, words)
    assert "1_1.png: x, y, w, h = 16.0, 4.0, 8.0, 8.0 in 8 x 8 pixels" in message
    assert "--box-scale" in message
    assert not (tmp_path / "out").exists()
    tool.main([*words, "--box-scale", "0.25"])


@pytest.mark.parametrize("link", ["symlink", "hardlink", "copy"])
def test_files_are_links_or_copies(tool, nih, tmp_path, link):
    tool.main([*nih, "--link", link])
    (path,) = (tmp_path / "out").rglob("1_0.png")
    source = tmp_path / "images/partFalse/1_0.png"
    assert path.read_bytes() == source.read_bytes()
    assert path.is_symlink() == (link == "symlink")
    assert path.samefile(source) == (link != "copy")


def test_without_links_files_are_copied(tool, tmp_path):
    def refuse(*_):
        raise OSError("no links here")

    (tmp_path / "a.png").write_bytes(b"1")
    target = tmp_path / "out" / "b.png"
    tool.link_file(tmp_path / "a.png", target, "symlink", {"symlink": refuse})
    assert target.read_bytes() == b"1"
    assert not target.is_symlink()
    with pytest.raises(OSError, match="no links"):
        tool.link_file(tmp_path / "a.png", target, "copy", {"copy": refuse})


def test_the_split_of_a_table_is_used(tool, nih, tmp_path):
    (tmp_path / "table.csv").write_text(
        "image,label,split\n"
        "partFalse/1_0.png,a,train\npartFalse/2_0.png,b,Training\n"
        "partTrue/5_0.png,a,test\npartTrue/6_0.png,b,TEST\npartTrue/3_0.png,a,valid\n"
    )
    tool.main([*nih[:3]])
    assert tree(tmp_path / "out") == [
        "test/a/partTrue_5_0.png",
        "test/b/partTrue_6_0.png",
        "train/a/partFalse_1_0.png",
        "train/b/partFalse_2_0.png",
        "val/a/partTrue_3_0.png",
    ]


def test_a_name_of_two_images_is_an_error(tool, nih, tmp_path, usage_error):
    Image.new("L", (8, 8)).save(tmp_path / "images/partTrue/1_0.png")
    message = usage_error(tool, nih)
    assert "partFalse/1_0.png, " in message
    assert "partTrue/1_0.png" in message


def test_missing_images_are_an_error_unless_skipped(
    tool, nih, tmp_path, capsys, usage_error
):
    (tmp_path / "images/partFalse/1_0.png").unlink()
    assert "1 of 6 are missing, 1_0.png" in usage_error(tool, nih)
    tool.main([*nih, "--skip-missing"])
    assert "1 without an image" in capsys.readouterr().out


def test_a_full_folder_is_not_overwritten(tool, nih, tmp_path, usage_error):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    assert f"--out. Received: {tmp_path / 'out'}" in usage_error(tool, nih)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "Heart"], "--classes of Fluid, Heart, Infiltration, Lung"),
        (["--classes", "Heart", "Bone"], "Received: Bone, Heart"),
        (["--classes", "Heart", "Infiltration", "--only"], "no row of Infiltration"),
        (["--group-column", "Name"], "Received: 'Name'"),
        (["--test-list", "x", "--test-share", "0.2"], "Received: x and 0.2"),
        (["--test-list", "nowhere.txt"], "nowhere.txt"),
        (["--test-share", "1.5"], "between 0 and 1"),
    ],
)
def test_wrong_arguments_are_an_error(tool, nih, usage_error, arguments, message):
    assert message in usage_error(tool, [*nih, *arguments])


def test_a_table_with_wrong_columns_is_an_error(tool, nih, tmp_path, usage_error):
    (tmp_path / "table.csv").write_text("file,class\na.png,x\n")
    assert "Received: 1 rows with file, class" in usage_error(tool, nih)


def test_a_broken_box_names_its_line(tool, tmp_path):
    (tmp_path / "boxes.csv").write_text("head\na.png,x,1,2,3\nb.png,x,1,2,?,4\n")
    with pytest.raises(ValueError, match="line 2"):
        tool.read_boxes(tmp_path / "boxes.csv", 1.0)


def test_a_row_with_too_few_fields_is_an_error(tool, nih, tmp_path, usage_error):
    with (tmp_path / "table.csv").open("a") as file:
        file.write("7_0.png,Lung\n")
    assert "table.csv, as in its header. Received: line 10 with 2" in " ".join(
        usage_error(tool, nih).split()
    )
