"""The explainer-classifier's network and what its training reads and refuses."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from kerasloc.configs import NetworkConfig
from kerasloc.data.table import Table
from kerasloc.models.families import IMAGENET
from kerasloc.training.configs import ExplainerTraining
from kerasloc.training.experiment import make_experiment
from kerasloc.training.explainer import ExplainerTrainer

SIZE = (16, 16)


@pytest.fixture
def files(tmp_path):
    """A table of four images of 16 pixels, the first with a mask of 8 x 8 of them."""
    paths = [str(tmp_path / f"{row}.png") for row in range(4)]
    for path in paths:
        Image.new("RGB", SIZE).save(path)
    mask = np.zeros(SIZE, np.uint8)
    mask[2:10, 4:12] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return Table(
        paths,
        ("a", "b"),
        np.eye(2)[[0, 1, 0, 1]],
        masks=[str(tmp_path / "mask.png"), "", "", ""],
    )


def feed_of(train, val, **settings):
    network = NetworkConfig("explainer", ("a", "b"), SIZE)
    config = ExplainerTraining(augmentation="none", **settings)
    tables = {"train": train, "val": val}
    return ExplainerTrainer(None, tables, network, config).feed(None)


def test_masks_of_files_are_the_targets(files):
    feed = feed_of(files, files.subset([1, 2]))
    _, targets = next(iter(dataclasses.replace(feed, val=files).val_batches()))
    assert set(targets) == {"labels"}  # none of the validation images has a mask
    ordered = dataclasses.replace(feed, val=files, val_config=feed.train_config)
    _, targets = next(iter(ordered.val_batches()))
    masks = targets["masks"].numpy()
    assert masks.shape == (4, *SIZE, 1)
    assert masks.sum(axis=(1, 2, 3)).tolist() == [64, 0, 0, 0]
    assert masks[0, 2:10, 4:12].all()
    np.testing.assert_array_equal(targets["labels"], files.labels)


def test_only_what_the_loss_needs_is_read(files):
    def fields_of(train, **settings):
        return feed_of(train, train, **settings).train_config.fields

    bare = dataclasses.replace(files, masks=None)
    boxed = dataclasses.replace(bare, boxes=[[0, 1, 1, 4, 4, 0]])
    assert fields_of(files) == ("image", "labels", "mask")
    assert fields_of(boxed) == ("image", "labels", "boxes")
    assert fields_of(files, loss="unsupervised") == ("image", "labels")
    assert fields_of(bare, loss="unsupervised") == ("image", "labels")
    with pytest.raises(ValueError, match=r"masks or boxes.*--loss unsupervised"):
        fields_of(bare)


def describe(table, **options):
    values = {"data_dir": "x", "im_size": 16, "channels": 3, **options}
    return ExplainerTrainer.describe(make_experiment("explainer", values), table)


@pytest.mark.parametrize("labels", [[1, 1], [0, 0], [1, np.nan]])
def test_one_class_and_images_without_exactly_one_are_refused(labels):
    with pytest.raises(ValueError, match=r"two classes or more.*Received: only"):
        describe(Table(["a.png"], ("only",), [[1]]))
    table = Table(["a.png", "b.png"], ("a", "b"), [[1, 0], labels])
    with pytest.raises(ValueError, match=r"exactly one class each.*--classes A B"):
        describe(table)


def test_the_network_is_that_of_the_options():
    names = ("très grand", "pas là")
    table = Table(["a.png", "b.png"], names, np.eye(2))
    network = describe(table, classifier="vgg")
    assert (network.family, network.class_names) == ("explainer", names)
    assert network.options == {"classifier": "vgg", "init_bias": 3.0}
    assert (network.im_size, network.multi_label) == (SIZE, False)
    assert (network.mean, network.std) == ((0,), (1,))
    normal = describe(table, start="imagenet")
    assert {"mean": normal.mean, "std": normal.std} == IMAGENET
