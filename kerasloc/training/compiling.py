"""What a fit reads and how its model is compiled: devices, loss, optimizer."""

import contextlib
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
from kerasloc.losses import MaskedBinaryCrossentropy
from kerasloc.runs import Run
from kerasloc.training.callbacks import Logs, Maps
from kerasloc.training.configs import OPTIMIZERS, PRECISIONS, FeedConfig
from kerasloc.training.streaming_metrics import KnownLabelAccuracy

PathLike = str | os.PathLike
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
        train, val: Training and validation images.
        train_config, val_config: Their pipelines; validation has no augmentation.
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
        config, weights = self.train_config, self.weights
        data = training_batches(self.train, config, first_epoch, weights)
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

    ``augment`` of :func:`kerasloc.data.augment.augmentation` replaces that of the
    configuration.
    """
    cache = {"train": config.cache, "val": config.cache}
    if config.cache not in (None, "memory"):
        path = pathlib.Path(config.cache)  # the suffix stays the last thing in it
        names = {name: f"{path.stem}-{name}{path.suffix}" for name in cache}
        cache = {name: str(path.with_name(file)) for name, file in names.items()}
    augment = augmentation(config.augmentation if augment is None else augment)
    normal, numbers = normalization(network), (network.channels, config.batch_size)
    plain = PipelineConfig(network.im_size, *numbers, seed=config.seed, **normal)
    train = dataclasses.replace(plain, cache=cache["train"], augment=augment)
    val = dataclasses.replace(plain, cache=cache["val"])
    return Feed(tables["train"], tables["val"], train, val)


def normalization(network: NetworkConfig) -> dict[str, Any]:
    """Return ``mean`` and ``std`` of a pipeline for a network; None if it has none.

    Example:
        >>> normalization(NetworkConfig("pylon", ("a", "b"), (8, 8), 1, mean=(0.5,)))
        {'mean': (0.5,), 'std': (1.0,)}
    """
    if set(network.mean) == {0.0} and set(network.std) == {1.0}:
        return {"mean": None, "std": None}
    values = {"mean": network.mean, "std": network.std}
    wide = ((k, np.broadcast_to(v, network.channels)) for k, v in values.items())
    return {name: tuple(array.tolist()) for name, array in wide}


class AttentionImages(keras.callbacks.Callback):
    """Write fixed validation images with their maps to TensorBoard every epoch.

    Args:
        folder: Folder of the logs.
        maps: Function that returns the current maps by name, for :func:`draw_maps`.
        images: Images, (n, rows, cols, channels) in [0, 1].
    """

    def __init__(
        self, folder: str | os.PathLike, maps: Callable[[], Maps], images: np.ndarray
    ):
        super().__init__()
        self._folder, self._maps, self._images = pathlib.Path(folder), maps, images

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Draw the current maps."""
        import tensorflow as tf

        writer = tf.summary.create_file_writer(str(self._folder))
        with writer.as_default(step=epoch):  # from 0, as Keras' curves
            tf.summary.image("image", self._images, max_outputs=len(self._images))
            for name, maps in self._maps().items():
                pictures = draw_maps(self._images, maps)
                tf.summary.image(name, pictures, max_outputs=len(pictures))
        writer.flush()  # close() says nothing of a full disk
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
    else:
        heat = min_max(resize_maps(maps, images.shape[1:3]))
        drawn = [overlay_image(i, h, 0.5) for i, h in zip(images, heat, strict=True)]
    return np.stack(drawn).astype(np.float32)


def attention_images(
    run: Run, feed: Feed, maps: Callable[[Maps], Maps]
) -> AttentionImages:
    """Return the callback that draws validation images of different classes."""
    labels = np.nan_to_num(feed.val.labels)
    shown = feed.val.subset(first_of_each_class(labels)[:SHOWN])
    config = dataclasses.replace(feed.val_config, batch_size=SHOWN, cache=None)
    config = dataclasses.replace(config, fields=("image", "labels", "boxes"))
    batch = {k: v.numpy() for k, v in next(iter(batches(shown, config))).items()}
    batch["classes"] = np.nan_to_num(shown.labels).argmax(axis=1)
    images = batch["image"]
    if config.mean is not None:
        mean, std = (np.asarray(v, np.float32) for v in (config.mean, config.std))
        images = np.clip(images * std + mean, 0, 1)
    return AttentionImages(run.folder / "logs/images", lambda: maps(batch), images)


def set_precision(name: str) -> None:
    """Set the number format of layers built from now on, one of ``PRECISIONS``.

    Raises:
        ValueError: If the name is not one of them.

    Example:
        >>> set_precision("float32")
    """
    if name not in PRECISIONS:
        raise ValueError(
            f"Expected a precision of {', '.join(PRECISIONS)}. Received: {name!r}."
        )
    keras.config.set_dtype_policy(name)


def select(gpus: str | None) -> Any:
    """Select the devices; return a strategy of TensorFlow for several, else None.

    Args:
        gpus: Numbers with commas, such as ``"0"`` or ``"0,1"``; ``"-1"`` for the CPU;
            None for TensorFlow's choice.

    Raises:
        ValueError: If there is no such GPU.

    Example:
        >>> select(None)
    """
    import tensorflow as tf

    if gpus is None:
        return None
    devices = tf.config.list_physical_devices("GPU")
    numbers = [text.strip() for text in str(gpus).split(",") if text.strip() != "-1"]
    if not all(text.isdigit() and int(text) < len(devices) for text in numbers):
        raise ValueError(
            f"Expected --gpu to be numbers of GPUs, of which TensorFlow sees "
            f"{len(devices)}. Received: {gpus!r}. Leave it out, or use -1 for the CPU."
        )
    tf.config.set_visible_devices([devices[int(text)] for text in numbers], "GPU")
    return tf.distribute.MirroredStrategy() if len(numbers) > 1 else None


def scope(strategy: Any) -> contextlib.AbstractContextManager:
    """Return the context in which models of a strategy are built.

    Example:
        >>> with scope(None):
        ...     pass
    """
    return contextlib.nullcontext() if strategy is None else strategy.scope()


def jit_compile(strategy: Any = None) -> bool | str:
    """Return whether XLA pays: on one GPU of TensorFlow; elsewhere Keras decides.

    Example:
        >>> jit_compile(strategy="two devices")
        False
    """
    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU")) and strategy is None


def label_loss(network: NetworkConfig) -> keras.losses.Loss:
    """Return the cross-entropy of logits: of one class per image, or of all labels.

    Example:
        >>> label_loss(NetworkConfig("half", ("a", "b"), (8, 8))).name
        'categorical_crossentropy'
    """
    if network.multi_label:
        return MaskedBinaryCrossentropy()
    return keras.losses.CategoricalCrossentropy(from_logits=True)


def accuracy(network: NetworkConfig) -> keras.metrics.Metric:
    """Return the accuracy over images, or over labels when multi-label.

    Example:
        >>> network = NetworkConfig("pylon", ("a", "b"), (8, 8), multi_label=True)
        >>> type(accuracy(network)).__name__
        'KnownLabelAccuracy'
    """
    if network.multi_label:
        return KnownLabelAccuracy("accuracy")
    return keras.metrics.CategoricalAccuracy("accuracy")


def make_optimizer(
    name: str, learning_rate: float, schedule: Any = None, *, l2: float = 0.0
) -> keras.optimizers.Optimizer:
    """Make an optimizer by name; Adadelta has rho 0.95, SGD momentum 0.9.

    Args:
        name: ``adadelta``, ``adam`` or ``sgd``.
        learning_rate: Learning rate, above 0.
        schedule: Learning rate schedule of Keras that replaces the constant rate.
        l2: Share of every weight added to its gradient, as PyTorch's weight decay.

    Raises:
        ValueError: If the name is another or the rate is not positive.

    Example:
        >>> float(make_optimizer("adam", 0.5).learning_rate)
        0.5
    """
    if name not in OPTIMIZERS or not learning_rate > 0:
        raise ValueError(
            f"Expected an optimizer of {', '.join(OPTIMIZERS)} with a rate above 0. "
            f"Received: {name!r} with {learning_rate!r}."
        )
    rate = learning_rate if schedule is None else schedule
    plain, penalized, options = {
        "adadelta": (keras.optimizers.Adadelta, L2Adadelta, {"rho": 0.95}),
        "adam": (keras.optimizers.Adam, L2Adam, {}),
        "sgd": (keras.optimizers.SGD, L2SGD, {"momentum": 0.9}),
    }[name]
    return penalized(rate, l2=l2, **options) if l2 else plain(rate, **options)


class _WithL2(keras.optimizers.Optimizer):
    """Mixin: a share of every weight is added to its gradient before the update."""

    def __init__(self, *args, l2: float = 0.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.l2 = l2

    def update_step(self, gradient, variable, learning_rate):
        """Update a variable with its gradient and the penalty's."""
        value = keras.ops.cast(variable, gradient.dtype)
        super().update_step(gradient + self.l2 * value, variable, learning_rate)

    def get_config(self) -> dict:
        """Return the arguments that make the optimizer again."""
        return {**super().get_config(), "l2": self.l2}


@keras.saving.register_keras_serializable(package="kerasloc")
class L2Adam(_WithL2, keras.optimizers.Adam):
    """Adam with ``l2`` times every weight added to its gradient.

    Example:
        >>> L2Adam(0.001, l2=1e-4).l2
        0.0001
    """


@keras.saving.register_keras_serializable(package="kerasloc")
class L2SGD(_WithL2, keras.optimizers.SGD):
    """SGD with ``l2`` times every weight added to its gradient.

    Example:
        >>> L2SGD(0.001, momentum=0.9, l2=1e-4).l2
        0.0001
    """


@keras.saving.register_keras_serializable(package="kerasloc")
class L2Adadelta(_WithL2, keras.optimizers.Adadelta):
    """Adadelta with ``l2`` times every weight added to its gradient."""
