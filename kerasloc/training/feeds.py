"""What a fit is fed: tables, their pipelines, fixed validation images to look at."""

import dataclasses
import pathlib

import keras
import numpy as np

from kerasloc.configs import NetworkConfig
from kerasloc.data.pipeline import PipelineConfig, batches
from kerasloc.evaluation import first_of_each_class
from kerasloc.losses import MaskedBinaryCrossentropy
from kerasloc.training.callbacks import AttentionImages
from kerasloc.training.configs import TrainingConfig
from kerasloc.training.scores import KnownLabelAccuracy

SHOWN = 8


def feed(tables, network: NetworkConfig, config: TrainingConfig, augment=None) -> dict:
    """Tables and pipelines; validation images are never augmented.

    Args:
        tables: ``train`` and ``val``.
        network: Size, channels and normalization of the images.
        config: Batch size, seed, cache, and the name of the augmentation.
        augment: Anything that :func:`kerasloc.data.augment.augmentation` takes, in the
            place of the named one.
    """
    from kerasloc.data.augment import augmentation

    common = {
        "size": network.im_size,
        "channels": network.channels,
        "batch_size": config.batch_size,
        "seed": config.seed,
        **normalization(network),
    }
    cache = {"train": config.cache, "val": config.cache}
    if config.cache not in (None, "memory"):
        path = pathlib.Path(config.cache)  # the suffix stays the last thing in it
        names = {name: f"{path.stem}-{name}{path.suffix}" for name in cache}
        cache = {name: str(path.with_name(file)) for name, file in names.items()}
    augment = augmentation(config.augmentation if augment is None else augment)
    return {
        **tables,
        "train_config": PipelineConfig(**common, cache=cache["train"], augment=augment),
        "val_config": PipelineConfig(**common, cache=cache["val"]),
    }


def normalization(network: NetworkConfig) -> dict:
    """``mean`` and ``std`` of a pipeline for a network; None where there are none."""
    if set(network.mean) == {0.0} and set(network.std) == {1.0}:
        return {"mean": None, "std": None}
    return {
        name: tuple(np.broadcast_to(getattr(network, name), network.channels).tolist())
        for name in ("mean", "std")
    }


def attention(run, feed: dict, maps_of) -> AttentionImages:
    """Pictures of the first validation images of different classes, every epoch.

    Args:
        run: The open run.
        feed: As from :func:`feed`.
        maps_of: Function from a batch, a dict of ``image`` (normalized), ``labels``,
            ``boxes`` (n, most, 5) and ``classes`` (n,), one of each image, to maps by
            name, (n, rows, cols) or, painted in the classes' colors, (n, rows, cols,
            classes).
    """
    val, config = feed["val"], feed["val_config"]
    known = np.nan_to_num(val.labels)
    shown = val.subset(first_of_each_class(known)[:SHOWN])
    fields = ("image", "labels", "boxes")
    config = dataclasses.replace(config, batch_size=SHOWN, cache=None, fields=fields)
    batch = {k: v.numpy() for k, v in next(iter(batches(shown, config))).items()}
    batch["classes"] = np.nan_to_num(shown.labels).argmax(axis=1)
    seen = batch["image"]
    if config.mean is not None:
        seen = np.clip(seen * np.float32(config.std) + np.float32(config.mean), 0, 1)
    return AttentionImages(run.folder / "logs" / "images", lambda: maps_of(batch), seen)


def label_loss(network: NetworkConfig) -> keras.losses.Loss:
    """Cross-entropy from logits: of one class per image, or of every known label."""
    if network.multi_label:
        return MaskedBinaryCrossentropy()
    return keras.losses.CategoricalCrossentropy(from_logits=True)


def accuracy(network: NetworkConfig) -> keras.metrics.Metric:
    """Share of images told right, or of known labels when multi-label."""
    if network.multi_label:
        return KnownLabelAccuracy("accuracy")
    return keras.metrics.CategoricalAccuracy("accuracy")
