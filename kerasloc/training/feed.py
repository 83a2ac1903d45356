"""What a fit reads: tables, pipelines, targets, and the images of the logs."""

import dataclasses
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from kerasloc.configs import NetworkConfig
from kerasloc.data.augment import augmentation
from kerasloc.data.pipeline import PipelineConfig, batches, steps, training_batches
from kerasloc.data.table import Table
from kerasloc.evaluation import first_of_each_class
from kerasloc.runs import Run
from kerasloc.training.configs import FeedConfig

SHOWN = 8  # validation images in the logs


def image_and_labels(element: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return image and labels of an element of the pipeline.

    Example:
        >>> image_and_labels({"image": 1, "labels": 0, "boxes": 2})
        (1, 0)
    """
    return element["image"], element["labels"]


@dataclasses.dataclass(frozen=True, eq=False)
class Feed:
    """Tables of a training and how they are read.

    Attributes:
        train: Training images.
        val: Validation images.
        train_config: Pipeline of the training images.
        val_config: Pipeline of the validation images, without augmentation.
        target: Function from an element of the pipeline to (input, target).
        weights: Relative sampling frequencies of the training images, (n,); None: once
            an epoch.
    """

    train: Table
    val: Table
    train_config: PipelineConfig
    val_config: PipelineConfig
    target: Callable[[Mapping[str, Any]], tuple[Any, Any]] = image_and_labels
    weights: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """Number of steps of an epoch."""
        return steps(self.train, self.train_config)

    def train_batches(self, first_epoch: int = 0) -> Any:
        """Return endless batches of (input, target), a ``tf.data.Dataset``."""
        data = training_batches(
            self.train, self.train_config, first_epoch, self.weights
        )
        return data.map(self.target)

    def val_batches(self) -> Any:
        """Return the batches of (input, target) of the validation images."""
        return batches(self.val, self.val_config).map(self.target)


def make_feed(
    tables: Mapping[str, Table],
    network: NetworkConfig,
    config: FeedConfig,
    augment: Any = None,
) -> Feed:
    """Return tables and pipelines; validation images are never augmented.

    Args:
        tables: ``train`` and ``val``.
        network: Size, channels and normalization of the images.
        config: Batch size, seed, cache, and the name of the augmentation.
        augment: Argument of :func:`kerasloc.data.augment.augmentation`. Default: the
            augmentation of the configuration.
    """
    cache = {"train": config.cache, "val": config.cache}
    if config.cache not in (None, "memory"):
        path = pathlib.Path(config.cache)  # the suffix stays the last thing in it
        names = {name: f"{path.stem}-{name}{path.suffix}" for name in cache}
        cache = {name: str(path.with_name(file)) for name, file in names.items()}
    augment = augmentation(config.augmentation if augment is None else augment)
    plain = PipelineConfig(
        size=network.im_size,
        channels=network.channels,
        batch_size=config.batch_size,
        seed=config.seed,
        **normalization(network),
    )
    return Feed(
        tables["train"],
        tables["val"],
        dataclasses.replace(plain, cache=cache["train"], augment=augment),
        dataclasses.replace(plain, cache=cache["val"]),
    )


def normalization(network: NetworkConfig) -> dict[str, Any]:
    """Return ``mean`` and ``std`` of a pipeline for a network; None if it has none.

    Example:
        >>> normalization(NetworkConfig("pylon", ("a", "b"), (8, 8), 1, mean=(0.5,)))
        {'mean': (0.5,), 'std': (1.0,)}
    """
    if set(network.mean) == {0.0} and set(network.std) == {1.0}:
        return {"mean": None, "std": None}
    return {
        name: tuple(np.broadcast_to(getattr(network, name), network.channels).tolist())
        for name in ("mean", "std")
    }


class AttentionImages(keras.callbacks.Callback):
    """Write fixed validation images with their maps to TensorBoard every epoch.

    Args:
        folder: Folder of the logs.
        maps: Function that returns the current maps by name, as :func:`draw_maps`
            takes them.
        images: A few images, (n, rows, cols, channels) in [0, 1].
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        maps: Callable[[], Mapping[str, np.ndarray]],
        images: np.ndarray,
    ):
        super().__init__()
        self._folder, self._maps, self._images = pathlib.Path(folder), maps, images

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Draw the current maps."""
        import tensorflow as tf

        writer = tf.summary.create_file_writer(str(self._folder))
        with writer.as_default(step=epoch):  # from 0, as Keras' curves
            tf.summary.image("image", self._images, max_outputs=len(self._images))
            for name, maps in self._maps().items():
                pictures = draw_maps(self._images, maps)
                tf.summary.image(name, pictures, max_outputs=len(pictures))
        writer.close()


def draw_maps(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Draw maps over images, (n, rows, cols, 3) in [0, 1].

    Args:
        images: Images, (n, rows, cols, channels) in [0, 1].
        maps: Maps, (n, rows, cols) of any smaller size; or heat maps in [0, 1] of all
            classes at the images' size, (n, rows, cols, classes).

    Example:
        >>> draw_maps(np.zeros((1, 4, 4, 1)), np.zeros((1, 2, 2))).shape
        (1, 4, 4, 3)
    """
    from kerasloc.metrics import min_max, resize_maps
    from kerasloc.plotting import overlay_image, paint_classes

    if maps.ndim == 4:
        drawn = [paint_classes(i, m) for i, m in zip(images, maps, strict=True)]
        return np.stack(drawn).astype(np.float32)
    heat = min_max(resize_maps(maps, images.shape[1:3]))
    drawn = [overlay_image(i, h, 0.5) for i, h in zip(images, heat, strict=True)]
    return np.stack(drawn).astype(np.float32)


def attention_images(
    run: Run,
    feed: Feed,
    maps: Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]],
) -> AttentionImages:
    """Return the callback that draws validation images of different classes.

    Args:
        run: Open run.
        feed: Tables and pipelines.
        maps: Function as :meth:`Trainer.maps` of a model.
    """
    labels = np.nan_to_num(feed.val.labels)
    shown = feed.val.subset(first_of_each_class(labels)[:SHOWN])
    config = dataclasses.replace(
        feed.val_config,
        batch_size=SHOWN,
        cache=None,
        fields=("image", "labels", "boxes"),
    )
    batch = {k: v.numpy() for k, v in next(iter(batches(shown, config))).items()}
    batch["classes"] = np.nan_to_num(shown.labels).argmax(axis=1)
    images = batch["image"]
    if config.mean is not None:
        mean, std = (np.asarray(v, np.float32) for v in (config.mean, config.std))
        images = np.clip(images * std + mean, 0, 1)
    folder = run.folder / "logs" / "images"
    return AttentionImages(folder, lambda: maps(batch), images)
