import dataclasses
import hashlib

import numpy as np
import pytest

from kerasloc.data.image_lists import apply_lists, has_boxes, image_names
from kerasloc.data.splits import FOLDED, FOLDS, PROTOCOLS, cut_validation, make_lists
from kerasloc.data.table import Table, check_disjoint

CASES = [
    (protocol, fold)
    for protocol in PROTOCOLS
    for fold in range(FOLDS if protocol in FOLDED else 1)
]
SPLITS = ("train", "val", "test")


def made_up(count, annotated=0.1, seed=0, most=20):
    """Patients of 1 to ``most`` images, five labels from frequent to rare."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, most + 1, size=count)
    groups = np.repeat(np.arange(count), sizes)[:count]
    boxed = np.flatnonzero(rng.random(count) < annotated)
    boxes = np.zeros((len(boxed), 6))
    boxes[:, 0], boxes[:, 3:5] = boxed, 1
    return Table(
        paths=[f"images_{row % 3}/{row:05}.png" for row in range(count)],
        class_names=tuple("abcde"),
        labels=rng.random((count, 5)) < np.geomspace(0.3, 0.01, 5),
        boxes=boxes,
        splits=np.where(rng.random(count) < 0.25, "test", "train")[groups],
        groups=[f"p{group}" for group in groups],
    )


def small(boxed, groups, **columns):
    """Ten images or so, some with a box."""
    boxes = [[row, 0, 0, 1, 1, 0] for row in boxed]
    return Table(
        paths=[f"{row:02}.png" for row in range(len(groups))],
        class_names=("a",),
        labels=np.ones((len(groups), 1)),
        boxes=boxes,
        groups=list(groups),
        **columns,
    )


@pytest.fixture(scope="module")
def table():
    return made_up(5000)


def masks(table, lists):
    """Whether each image is on a list, by list."""
    names = image_names(table)
    return {name: np.isin(names, images) for name, images in lists.items()}


def shares(table, lists):
    """Share of the images with boxes, and of those without, on train, val, test."""
    boxed, on = has_boxes(table), masks(table, lists)
    return [
        [(on[split] & kind).sum() / kind.sum() for split in SPLITS]
        for kind in (boxed, ~boxed)
    ]


@pytest.mark.parametrize("fold", range(FOLDS))
@pytest.mark.parametrize(
    ("protocol", "expected"),
    [
        ("classification", [[0.7, 0.1, 0.2]] * 2),
        ("localization", [[0.72, 0.08, 0.2], [0.45, 0.05, 0]]),
    ],
)
def test_folds_have_the_published_shares(table, fold, protocol, expected):
    lists = make_lists(table, protocol, fold)
    np.testing.assert_allclose(shares(table, lists), expected, atol=0.02)
    if protocol == "classification":
        assert sum(len(lists[split]) for split in SPLITS) == 5000


def test_a_tenth_of_official_training_images_validates(table, caplog):
    caplog.clear()
    lists = make_lists(table, "official")
    assert "0.1 of training validates" in caplog.text
    on = masks(table, lists)
    np.testing.assert_array_equal(on["test"], table.splits == "test")
    np.testing.assert_array_equal(on["train"] | on["val"], table.splits == "train")
    assert on["val"].sum() / (table.splits == "train").sum() == pytest.approx(
        0.1, abs=0.02
    )


def test_without_boxes_no_patient_of_a_test_image_is_learned_from(table):
    lists = make_lists(table, "no-boxes")
    on, boxed = masks(table, lists), has_boxes(table)
    np.testing.assert_array_equal(on["test"], boxed)
    others = ~np.isin(table.groups, table.groups[boxed])
    np.testing.assert_array_equal(on["train"] | on["val"], others)
    assert on["val"].sum() / others.sum() == pytest.approx(0.1, abs=0.02)
    assert "annotated" not in lists


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_another_validation_share_holds(table, protocol):
    lists = make_lists(table, protocol, val_share=0.25)
    sizes = {split: len(lists[split]) for split in SPLITS}
    whole = 5000 if protocol == "classification" else sizes["train"] + sizes["val"]
    assert sizes["val"] / whole == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("protocol", "fold"), CASES)
def test_patients_are_on_one_side_and_training_boxes_annotated(table, protocol, fold):
    lists = make_lists(table, protocol, fold)
    listed = apply_lists(table, lists)
    check_disjoint(listed)
    assert set(listed.splits) >= set(SPLITS)
    on = masks(table, lists)
    annotated = on["train"] & has_boxes(table)
    np.testing.assert_array_equal(on.get("annotated", 0 * annotated), annotated)
    np.testing.assert_array_equal(listed.boxes, table.boxes)


def test_test_folds_partition_the_images(table):
    for protocol, wanted in (
        ("classification", np.ones(5000, bool)),
        ("localization", has_boxes(table)),
    ):
        folds = [make_lists(table, protocol, fold)["test"] for fold in range(FOLDS)]
        images = [image for fold in folds for image in fold]
        assert sorted(images) == sorted(image_names(table)[wanted])


def test_rare_labels_are_spread_over_the_folds(table):
    rare = table.labels[:, 4] == 1
    counts = [
        (masks(table, make_lists(table, "classification", fold))["test"] & rare).sum()
        for fold in range(FOLDS)
    ]
    assert max(counts) - min(counts) <= 3
    assert sum(counts) == rare.sum()


@pytest.mark.parametrize(("protocol", "fold"), CASES)
def test_lists_are_sorted_and_depend_on_the_seed_not_on_the_order_of_rows(
    protocol, fold
):
    table = made_up(300, 0.3, most=6)
    mixed = table.subset(np.random.default_rng(1).permutation(300))
    lists = make_lists(mixed, protocol, fold, 7)
    assert lists == make_lists(table, protocol, fold, 7)
    assert lists != make_lists(table, protocol, fold, 8)
    assert all(images == sorted(images) for images in lists.values())


@pytest.mark.parametrize(
    ("protocol", "digest"),
    [
        ("official", "8c043d21"),
        ("classification", "15049c24"),
        ("no-boxes", "3fb25fab"),
        ("localization", "b3781833"),
        ("cut", "046d886a"),
    ],
)
def test_the_images_of_a_seed_never_change(protocol, digest):
    table = made_up(300, 0.3)
    if protocol == "cut":
        text = "".join(cut_validation(table, 0.2, seed=7).splits)
    else:
        text = repr(sorted(make_lists(table, protocol, seed=7).items()))
    assert hashlib.md5(text.encode()).hexdigest()[:8] == digest


def test_images_without_a_group_are_patients_of_their_own():
    table = dataclasses.replace(made_up(200, 0.5), groups=[""] * 200)
    lists = make_lists(table, "classification", 2)
    assert [len(lists[split]) for split in SPLITS] == [140, 20, 40]


def test_a_group_called_like_an_image_is_not_its_group():
    table = small([], ["05.png"] * 5 + [""] * 4)  # five patients, or four if mixed up
    lists = make_lists(table, "classification")
    assert sorted(map(len, lists.values())) == [1, 3, 5]


def test_files_of_one_name_are_told_apart_by_their_folders():
    table = small([0, 1, 2, 3, 4], "uvwxy")
    paths = [f"root/p{row}/view1.png" for row in range(5)]
    lists = make_lists(dataclasses.replace(table, paths=paths), "localization")
    images = [image for split in SPLITS for image in lists[split]]
    assert sorted(images) == [f"p{row}/view1.png" for row in range(5)]


@pytest.mark.parametrize("fold", range(FOLDS))
@pytest.mark.parametrize("protocol", FOLDED)
def test_folds_need_no_images_with_or_without_boxes(protocol, fold):
    boxed = protocol == "localization"
    lists = make_lists(made_up(200, annotated=2 * boxed), protocol, fold)
    assert sum(len(lists[split]) for split in SPLITS) == 200
    assert lists.get("annotated") == (lists["train"] if boxed else None)


@pytest.mark.parametrize("fold", range(FOLDS))
@pytest.mark.parametrize(
    ("protocol", "boxed", "groups"),
    [
        *((p, [0, 30, 34, 37, 38], [*"u" * 30, *"vvvvwwwxy"]) for p in FOLDED),
        ("localization", [0, 2, 4, 6, 8], [str(row // 2) for row in range(60)]),
    ],
)
def test_five_annotated_patients_however_unlike_are_enough(
    fold, protocol, boxed, groups
):
    table = small(boxed, groups)
    on = masks(table, make_lists(table, protocol, fold))
    assert [(on[split] & has_boxes(table)).sum() for split in SPLITS] == [3, 1, 1]


def test_official_validation_images_stay():
    splits = ["train", "train", "val", "test", ""]
    table = small([0], "uvwxy", splits=splits)
    assert make_lists(table, "official") == {
        "train": ["00.png", "01.png"],
        "val": ["02.png"],
        "test": ["03.png"],
        "annotated": ["00.png"],
    }


@pytest.mark.parametrize(
    ("groups", "splits", "message"),
    [
        ("uvwxy", ["test"] * 5, "a table without train images. Put"),
        ("uvwxy", ["train"] * 5, "a table without test images. Put"),
        ("uvwux", ["train"] * 3 + ["test"] * 2, "u: test, train"),
        ("uuv", ["train", "train", "test"], "too few patients for val"),
    ],
)
def test_official_splits_that_do_not_fit_are_errors(groups, splits, message):
    with pytest.raises(ValueError, match=message):
        make_lists(small([], groups, splits=splits), "official")


@pytest.mark.parametrize(
    ("protocol", "options", "message"),
    [
        ("official", {"fold": 1}, "fold of official from 0 to 0. Received: 1"),
        ("no-boxes", {"fold": 4}, "from 0 to 0. Received: 4"),
        ("classification", {"fold": 5}, "from 0 to 4. Received: 5"),
        ("localization", {"fold": -1}, "from 0 to 4. Received: -1"),
        ("localization", {"fold": 0.5}, "from 0 to 4. Received: 0.5"),
        ("detection", {}, r"protocol .*'official', .*Received: 'detection'"),
        *(
            ("localization", {"val_share": s}, f"val_share .* and 0.5. Received: {s}")
            for s in (0, 0.5, -1, float("nan"))
        ),
    ],
)
def test_arguments_out_of_range_are_errors(protocol, options, message):
    with pytest.raises(ValueError, match=message):
        make_lists(small(range(6), "uvwxyz"), protocol, **options)


@pytest.mark.parametrize(
    ("protocol", "boxed", "groups", "message"),
    [
        ("no-boxes", [], "uvwxyz", "no-boxes. .*6 images, none with"),
        ("localization", [], "uvwxyz", "localization. .*6 images, none with"),
        ("classification", [0], "uuvwwx", r"5 patients, or.* Received: 4 \(of 6"),
        ("localization", [0, 1, 2, 3], "uvwxyz", "image with boxes.* Received: 4"),
        ("no-boxes", range(6), "uvwxyz", "6 of 6 images with boxes, 0 patients"),
        ("no-boxes", [0, 1], "uvuvxx", "2 of 6 images with boxes, 1 patients without"),
    ],
)
def test_too_few_boxes_or_patients_are_an_error(protocol, boxed, groups, message):
    with pytest.raises(ValueError, match=message):
        make_lists(small(boxed, groups), protocol)
    with pytest.raises(ValueError, match="different path"):
        make_lists(small([], "uvwxyz").subset([0, *range(6)]), protocol)
