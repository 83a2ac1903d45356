import numpy as np
import pytest
from PIL import Image

from kerasloc.data.datasets.nih_nci import NCI_CLASSES, read_nih_nci
from kerasloc.data.table import check_disjoint

HEADS = (
    "Image_ID,Worst Histology,patient-id,SESSION",
    "FILENAME,WORST_HIST,Subject,Visit_Date",
    "photo,histology,study id,visit",
    "image,worst_histology,PATIENT,session_id",
)


@pytest.fixture
def nci(tmp_path):
    """Four folders of ten patients, two sessions each, with two images or one."""
    image = Image.fromarray(np.zeros((4, 4, 3), np.uint8))
    for place, head in enumerate(HEADS):
        folder = tmp_path / f"part {place}"
        (folder / "pictures").mkdir(parents=True)
        (folder / "masks").mkdir()
        lines = [head]
        for patient in range(10):
            for session in range(2):
                for number in range(1 + patient % 2):
                    name = f"{patient}-{session}-{number}"
                    image.save(folder / "pictures" / f"{name}.jpg")
                    end = ".jpg" if place % 2 else ""
                    histology = (patient + session) % 5
                    lines.append(f"{name}{end},{histology},{place}p{patient},{session}")
        image.save(folder / "masks" / "0-0-0_mask.png")
        image.save(folder / "masks" / "1-0-0.png")
        (folder / "covariates.csv").write_text("\n".join(lines))
    return tmp_path


def table_file(nci):
    return nci / "part 3" / "covariates.csv"


def change(nci, old, new):
    text = table_file(nci).read_text()
    assert old in text
    table_file(nci).write_text(text.replace(old, new, 1))


def test_grade_patient_and_mask_of_every_image_are_read(nci):
    table = read_nih_nci(nci)
    assert table.class_names == NCI_CLASSES
    assert len(table) == 4 * 30
    for path, index, group in zip(
        table.paths, table.class_index, table.groups, strict=True
    ):
        patient, session, _ = path.split("/")[-1].split("-")
        assert index == ((int(patient) + int(session)) % 5 > 1)
        assert group == f"{path.split('/')[-3][-1]}p{patient}"
    masked = {path.split("/")[-1] for path in table.paths[table.masks != ""]}
    assert masked == {"0-0-0.jpg", "1-0-0.jpg"}
    assert (table.masks != "").sum() == 8
    assert not any("/masks/" in path for path in table.paths)


def test_images_without_a_row_are_counted(nci, caplog):
    read_nih_nci(nci)
    assert caplog.text == ""
    (nci / "part 1" / "pictures" / "x.tif").touch()
    assert len(read_nih_nci(nci)) == 4 * 30
    assert "no row has 1 of the images:\n  part 1/pictures/x.tif" in caplog.text


def test_shares_are_of_sessions_and_patients_stay_on_one_side(nci):
    table = read_nih_nci(nci, seed=2)
    check_disjoint(table)
    shares = {}
    for name in ("test", "val"):
        part = table.split(name)
        assert set(part.class_index) == {0, 1}
        stems = {path.rsplit("-", 1)[0] for path in part.paths}
        shares[name] = len(stems) / 80
    assert 0.02 <= shares["test"] <= 0.1
    assert 0.14 <= shares["val"] <= 0.25
    again, other = read_nih_nci(nci, seed=2), read_nih_nci(nci, seed=3)
    assert again.splits.tolist() == table.splits.tolist() != other.splits.tolist()


def test_without_a_session_column_a_patient_is_a_session(nci):
    for place in range(4):
        path = nci / f"part {place}" / "covariates.csv"
        lines = path.read_text().splitlines()
        path.write_text("\n".join(line.rsplit(",", 1)[0] for line in lines))
    table = read_nih_nci(nci)
    check_disjoint(table)
    assert set(table.splits) == {"train", "val", "test"}
    assert (table.groups != "").all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "PATIENT",
            "who",
            r"30 rows with image, worst_histology, who, .*missing: patient",
        ),
        ("0-0-0.jpg,0,", "0-0-0.jpg,CIN2,", "line 2: .*'histology': 'CIN2'"),
        ("0-0-0.jpg,0,", "0-0-0.jpg,,", "line 2: .*'histology': ''"),
        ("0-0-0.jpg,0,3p0", "0-0-0.jpg,0,", "line 2: .*'patient': ''"),
        ("0-0-0.jpg", "gone.jpg", r"part 3/gone\.jpg \(.*line 2"),
        ("0-1-0.jpg", "0-0-0.jpg", "one row per image"),
    ],
)
def test_wrong_tables_are_named(nci, old, new, message):
    change(nci, old, new)
    with pytest.raises(ValueError, match=message):
        read_nih_nci(nci)


def test_wrong_rows_can_be_left_out_and_folders_have_one_table(nci):
    change(nci, "0-0-0.jpg,0,", "0-0-0.jpg,,")
    change(nci, "0-1-0.jpg", "gone.jpg")
    assert len(read_nih_nci(nci, on_error="skip")) == 4 * 30 - 2
    (nci / "part 3" / "more.csv").touch()
    with pytest.raises(ValueError, match=r"one csv file.*covariates.csv, .*more.csv"):
        read_nih_nci(nci)
