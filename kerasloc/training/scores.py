"""Scores that Keras lacks, as they are shown while a network trains."""

import keras
from keras import ops

from kerasloc.checks import as_size
from kerasloc.metrics import points_in_boxes

LARGEST = 10.0
TINY = 1e-7


@keras.saving.register_keras_serializable(package="kerasloc")
class KnownLabelAccuracy(keras.metrics.Mean):
    """Share of the known labels that logits tell right.

    Labels are 1, 0 or NaN (unknown); yes is a logit above 0.
    """

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts a batch; ``sample_weight`` has no place here."""
        known = ops.logical_not(ops.isnan(y_true))
        right = ops.equal(ops.greater(y_true, 0.5), ops.greater(y_pred, 0))
        return super().update_state(
            ops.cast(right, "float32"), ops.cast(known, "float32")
        )


@keras.saving.register_keras_serializable(package="kerasloc")
class MultiLabelAUROC(keras.metrics.Metric):
    """Mean over classes of the area under the ROC curve, streaming.

    Unknown labels (NaN) count nowhere, and a class without a positive or without a
    negative enters no mean; NaN without any class to count. Scores are counted in bins
    of equal width in the logit, between -10 and 10, where Keras' own AUC has bins of
    the probability, too wide for rare classes. Within a bin the order is unknown:
    positives win half. ``kerasloc.metrics.auroc`` is exact.

    Args:
        num_thresholds: How many bins.
        from_logits: Whether answers are logits; probabilities become logits first.
        name: Of the metric.
        **options: Of ``keras.metrics.Metric``.

    Raises:
        ValueError: If there are fewer than two bins.
    """

    def __init__(self, num_thresholds=200, from_logits=True, name="auroc", **options):
        super().__init__(name=name, **options)
        if num_thresholds < 2:
            raise ValueError(
                f"An AUROC needs at least 2 thresholds. Received: {num_thresholds!r}."
            )
        self.num_thresholds, self.from_logits = num_thresholds, from_logits
        self.positives = self.negatives = None

    def build(self, classes: int):
        """Makes the counts, which the first batch does otherwise.

        For models that update the metric themselves: TensorFlow's strategies fail
        where a step makes variables.
        """
        shape = (classes, self.num_thresholds)
        self.positives = self.add_weight(shape, "zeros", name="positives")
        self.negatives = self.add_weight(shape, "zeros", name="negatives")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts labels 1, 0 or NaN, (n, classes); ``sample_weight`` has no place."""
        logits = ops.cast(y_pred, "float32")
        labels = ops.cast(y_true, "float32")
        if self.positives is None:
            self.build(logits.shape[-1])
        if not self.from_logits:
            logits = ops.log(logits + TINY) - ops.log(1 - logits + TINY)
        share = (ops.clip(logits, -LARGEST, LARGEST) + LARGEST) / (2 * LARGEST)
        index = ops.cast(share * self.num_thresholds, "int32")
        index = ops.minimum(index, self.num_thresholds - 1)
        bins = ops.one_hot(index, self.num_thresholds)  # (n, classes, bins)
        for counts, label in ((self.positives, 1.0), (self.negatives, 0.0)):
            has = ops.cast(ops.equal(labels, label), "float32")  # NaN equals neither
            counts.assign_add(ops.sum(bins * has[..., None], axis=0))

    def result(self):
        """The mean, a number; NaN before the first batch."""
        if self.positives is None:
            return ops.convert_to_tensor(float("nan"))
        lower = ops.cumsum(self.negatives, axis=1) - self.negatives / 2
        won = ops.sum(self.positives * lower, axis=1)
        pairs = ops.sum(self.positives, axis=1) * ops.sum(self.negatives, axis=1)
        return _mean_of_defined(won, pairs)

    def get_config(self):
        return {
            **super().get_config(),
            "num_thresholds": self.num_thresholds,
            "from_logits": self.from_logits,
        }


@keras.saving.register_keras_serializable(package="kerasloc")
class PointLocalization(keras.metrics.Metric):
    """How often the maximum of a map lies in a box of its class, streaming.

    The same number as ``kerasloc.metrics.point_localization``: one hit or miss for
    every pair of an image and a class with boxes; NaN without any. The answers are
    maps (n, rows, cols, classes); the truth is boxes as ``kerasloc.data`` pads them,
    (n, most, 5) rows x, y, w, h, class, class -1 where an image has fewer.

    Args:
        image_size: (rows, cols) of the images, or one number for both.
        average: "macro", the mean over classes with boxes, or "weighted", over pairs.
        name: Of the metric.
        **options: Of ``keras.metrics.Metric``.

    Raises:
        ValueError: If the size is none or the average has another name.
    """

    def __init__(self, image_size, average="macro", name="point", **options):
        super().__init__(name=name, **options)
        if average not in ("macro", "weighted"):
            raise ValueError(
                f'The average is "macro" or "weighted". Received: {average!r}.'
            )
        self.image_size, self.average = as_size(image_size), average
        self.hits = self.pairs = None

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts the pairs of a batch; ``sample_weight`` has no place here."""
        maps = ops.cast(y_pred, "float32")
        classes = maps.shape[-1]
        if self.hits is None:
            self.hits = self.add_weight((classes,), "zeros", name="hits")
            self.pairs = self.add_weight((classes,), "zeros", name="pairs")
        row, col = _peaks(maps, self.image_size)
        boxes = ops.cast(y_true, "float32")[..., None]  # (n, most, 5, 1)
        x, y, w, h, index = (boxes[:, :, i] for i in range(5))
        own = ops.equal(index, ops.arange(classes, dtype="float32"))
        inside = points_in_boxes(col, row, (x, y, w, h))
        for counts, boxed in ((self.hits, own & inside), (self.pairs, own)):
            found = ops.any(boxed, axis=1)  # (n, classes)
            counts.assign_add(ops.sum(ops.cast(found, "float32"), axis=0))

    def result(self):
        """The average, a number; NaN before the first batch."""
        if self.hits is None:
            return ops.convert_to_tensor(float("nan"))
        if self.average == "weighted":
            return ops.sum(self.hits) / ops.sum(self.pairs)
        return _mean_of_defined(self.hits, self.pairs)

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": list(self.image_size),
            "average": self.average,
        }


def _peaks(maps, size):
    """Row and column of the maximum of every map at another size, (n, 1, classes)."""
    large = ops.image.resize(
        maps, size, interpolation="bilinear", data_format="channels_last"
    )
    flat = ops.reshape(large, (-1, size[0] * size[1], maps.shape[-1]))
    peak = ops.argmax(flat, axis=1)[:, None]
    row, col = ops.floor_divide(peak, size[1]), ops.mod(peak, size[1])
    return ops.cast(row, "float32"), ops.cast(col, "float32")


def _mean_of_defined(part, whole):
    """Mean of ``part / whole`` where the whole is not 0; NaN where it is everywhere."""
    defined = ops.cast(ops.greater(whole, 0), "float32")
    return ops.sum(part / ops.maximum(whole, 1)) / ops.sum(defined)
