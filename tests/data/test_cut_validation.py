"""Validation images cut from training images, by class and in whole groups."""

import numpy as np
import pytest

from kerasloc.data.splits import cut_validation
from kerasloc.data.table import Table, check_disjoint


def single_label(classes, **columns):
    """A table with one class index per image, all to train on."""
    count = len(classes)
    columns = {"splits": ["train"] * count} | columns
    paths = [f"{i}.png" for i in range(count)]
    return Table(paths, ("a", "b", "c"), np.eye(3)[classes], **columns)


def test_validation_images_are_cut_class_by_class():
    table = single_label([0] * 10 + [1] * 20 + [2] * 5)
    cut = cut_validation(table, 0.2, seed=1)
    val = cut.split("val")
    assert np.bincount(val.class_index).tolist() == [2, 4, 1]
    assert len(cut.split("train")) == 28
    assert (table.splits == "train").all()


def test_the_cut_images_depend_on_the_seed():
    table = single_label([0, 1] * 30)
    first = cut_validation(table, 0.3, seed=4).splits
    assert (cut_validation(table, 0.3, seed=4).splits == first).all()
    assert (cut_validation(table, 0.3, seed=5).splits != first).any()


def test_groups_are_cut_as_a_whole():
    rng = np.random.default_rng(0)
    groups = [f"p{i}" for i in rng.integers(0, 30, 120)]
    table = single_label(rng.integers(0, 3, 120), groups=groups)
    cut = cut_validation(table, 0.25, seed=0)
    val, train = cut.split("val"), cut.split("train")
    assert not set(val.groups) & set(train.groups)
    assert 24 <= len(val) <= 36
    for part in (val, train):
        assert (part.labels.sum(axis=0) > 0).all()
    check_disjoint(cut)


def test_a_rare_class_is_on_both_sides_where_it_can_be():
    classes = [0] * 40 + [1] * 2 + [2]
    cut = cut_validation(single_label(classes), 0.1, seed=0)
    assert cut.split("val").labels.sum(axis=0).tolist() == [4, 1, 0]


def test_a_rare_class_in_crowded_groups_is_on_both_sides():
    groups = ["p"] * 11 + ["q"] * 11 + [""] * 40
    classes = ([0] * 10 + [1]) * 2 + [0] * 20 + [2] * 20
    table = single_label(classes, groups=groups)
    val = cut_validation(table, 0.05, seed=0).split("val")
    assert val.labels.sum(axis=0)[1] == 1


def test_every_label_of_multi_label_images_is_cut():
    labels = np.random.default_rng(0).random((200, 3)) < [0.5, 0.1, 0.02]
    paths = [str(i) for i in range(200)]
    table = Table(paths, ("a", "b", "c"), labels, splits=["train"] * 200)
    positives = cut_validation(table, 0.2, seed=0).split("val").labels.sum(axis=0)
    assert np.abs(positives - 0.2 * labels.sum(axis=0)).max() <= 3
    assert positives.min() >= 1


def test_only_training_images_are_cut_and_existing_ones_stay():
    table = single_label([0, 1] * 10, splits=["train", "test"] * 10)
    cut = cut_validation(table, 0.4, seed=0)
    assert (cut.splits == "test").sum() == 10
    assert (cut.splits == "val").sum() == 4
    table = single_label([0, 1, 2], splits=["train", "val", "train"])
    assert cut_validation(table, 0.5) is table  # it has validation images


@pytest.mark.parametrize("share", [0, 1, -0.1])
def test_a_share_outside_its_range_is_an_error(share):
    with pytest.raises(ValueError, match=f"between 0 and 1. Received: {share}"):
        cut_validation(single_label([0]), share)


def test_nothing_to_cut_is_an_error():
    table = single_label([0, 1])
    with pytest.raises(ValueError, match="2 training images in 2 groups"):
        cut_validation(table, 0.5)
    with pytest.raises(ValueError, match="0 training images"):
        cut_validation(single_label([0], splits=[""]), 0.5)
