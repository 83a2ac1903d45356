"""Streaming metrics that Keras lacks, shown while a network trains."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasloc.checks import as_size
from kerasloc.metrics import points_in_boxes
from kerasloc.metrics.overlap import ATTENDED, TIOR, TIOU
from kerasloc.processes import check_process

LARGEST_LOGIT, TINY = 10.0, 1e-7
PUBLISHED = {"iou": TIOU, "ior": TIOR}


@keras.saving.register_keras_serializable(package="kerasloc")
class KnownLabelAccuracy(keras.metrics.Mean):
    """Share of the labels that logits predict; unknown labels (NaN) do not count.

    Labels are 1, 0 or NaN; a class is predicted by a logit above 0.

    Example:
        >>> metric = KnownLabelAccuracy()
        >>> labels, logits = np.array([[1.0, 0.0, np.nan]]), np.full((1, 3), 2.0)
        >>> _ = metric.update_state(labels, logits)
        >>> float(metric.result())
        0.5
    """

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None):
        """Count labels and logits, (n, classes); sample weights are ignored."""
        check_process(keras.backend.backend())
        labeled = ops.cast(ops.logical_not(ops.isnan(y_true)), "float32")
        correct = ops.equal(ops.greater(y_true, 0.5), ops.greater(y_pred, 0))
        return super().update_state(ops.cast(correct, "float32"), labeled)


class _CountedByClass(keras.metrics.Metric):
    """Base of metrics with two counts by class, made with the first batch.

    Models that update metrics themselves call ``build``: a step makes no variables.
    """

    counts: tuple[str, str]
    arguments: tuple[str, str]  # that make the metric again

    def __init__(self, name: str, **kwargs: Any):
        super().__init__(name=name, **kwargs)
        for count in self.counts:
            setattr(self, count, None)

    def build(self, classes: int) -> None:
        """Make the counts."""
        for name in self.counts:
            shape = self._count_shape(classes)
            setattr(self, name, self.add_weight(shape, "zeros", name=name))

    def _count_shape(self, classes: int) -> tuple[int, ...]:
        return (classes,)

    @property
    def is_counting(self) -> bool:
        """Whether the counts exist."""
        return getattr(self, self.counts[0]) is not None

    def result(self) -> Any:
        """Return the value, a number; NaN before the first batch."""
        if not self.is_counting:
            return ops.convert_to_tensor(float("nan"))
        return self._value(*(getattr(self, name) for name in self.counts))

    def _value(self, hits: Any, totals: Any) -> Any:
        """Average ``hits / totals`` where the total is not 0; NaN if there is none."""
        defined = ops.cast(ops.greater(totals, 0), "float32")
        return ops.sum(hits / ops.maximum(totals, 1)) / ops.sum(defined)

    def get_config(self) -> dict:
        """Return the arguments that make the metric again."""
        values = {name: getattr(self, name) for name in self.arguments}
        lists = {k: list(v) for k, v in values.items() if isinstance(v, tuple)}
        return super().get_config() | values | lists


@keras.saving.register_keras_serializable(package="kerasloc")
class MultiLabelAUROC(_CountedByClass):
    """Mean over classes of the area under the ROC curve, streaming.

    Unknown labels (NaN) do not count, nor do classes without a positive or without a
    negative; NaN without any class. Scores are counted in bins of equal width in the
    logit, from -10 to 10 (Keras' AUC has bins of the probability, too wide for rare
    classes); within a bin positives win half. ``kerasloc.metrics.auroc`` is exact.

    Args:
        num_thresholds: Number of bins, at least 2.
        from_logits: Whether predictions are logits; probabilities become logits first.

    Example:
        >>> metric = MultiLabelAUROC()
        >>> metric.update_state(np.array([[0.0], [1.0]]), np.array([[-2.0], [3.0]]))
        >>> float(metric.result())
        1.0
    """

    counts = ("positives", "negatives")
    arguments = ("num_thresholds", "from_logits")
    positives: Any
    negatives: Any

    def __init__(
        self,
        num_thresholds: int = 200,
        from_logits: bool = True,
        name: str = "auroc",
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        if num_thresholds < 2:
            raise ValueError(
                f"Expected num_thresholds of at least 2. Received: {num_thresholds!r}."
            )
        self.num_thresholds, self.from_logits = num_thresholds, from_logits

    def _count_shape(self, classes: int) -> tuple[int, ...]:
        return (classes, self.num_thresholds)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count labels 1, 0 or NaN, (n, classes); sample weights are ignored."""
        check_process(keras.backend.backend())
        logits = ops.cast(y_pred, "float32")
        labels = ops.cast(y_true, "float32")
        if not self.is_counting:
            self.build(logits.shape[-1])
        if not self.from_logits:
            logits = ops.log(logits + TINY) - ops.log(1 - logits + TINY)
        limited = ops.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT)
        share = (limited + LARGEST_LOGIT) / (2 * LARGEST_LOGIT)
        index = ops.cast(share * self.num_thresholds, "int32")
        index = ops.minimum(index, self.num_thresholds - 1)
        bins = ops.one_hot(index, self.num_thresholds)  # (n, classes, bins)
        for counts, label in ((self.positives, 1.0), (self.negatives, 0.0)):
            has = ops.cast(ops.equal(labels, label), "float32")  # NaN equals neither
            counts.assign_add(ops.sum(bins * has[..., None], axis=0))

    def _value(self, positives, negatives):
        lower = ops.cumsum(negatives, axis=1) - negatives / 2
        won = ops.sum(positives * lower, axis=1)
        pairs = ops.sum(positives, axis=1) * ops.sum(negatives, axis=1)
        return super()._value(won, pairs)


@keras.saving.register_keras_serializable(package="kerasloc")
class PointLocalization(_CountedByClass):
    """Share of the maps whose maximum lies in a box of their class, streaming.

    Equal to ``kerasloc.metrics.point_localization``: one hit or miss for every pair of
    an image and a class with boxes; NaN without any. Predictions are maps (n, rows,
    cols, classes), targets boxes as ``kerasloc.data`` pads them, (n, most, 5) rows
    x, y, w, h, class, with class -1 where an image has fewer.

    Args:
        image_size: (rows, cols) of the images in pixels, or one number for both.
        average: "macro", the mean over classes with boxes, or "weighted", over pairs.

    Example:
        >>> metric = PointLocalization(2)
        >>> maps = np.array([[[[0.0], [1.0]], [[0.0], [0.0]]]])
        >>> metric.update_state(np.array([[[1, 0, 1, 1, 0]]]), maps)
        >>> float(metric.result())
        1.0
    """

    counts = ("hits", "pairs")
    arguments = ("image_size", "average")
    hits: Any
    pairs: Any

    def __init__(
        self,
        image_size: int | Sequence[int],
        average: str = "macro",
        name: str = "point",
        **kwargs: Any,
    ):
        super().__init__(name, **kwargs)
        if average not in ("macro", "weighted"):
            raise ValueError(
                f'Expected an average of "macro" or "weighted". Received: {average!r}.'
            )
        self.image_size, self.average = as_size(image_size), average

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the pairs of a batch; sample weights are ignored."""
        check_process(keras.backend.backend())
        maps = ops.cast(y_pred, "float32")
        classes = maps.shape[-1]
        if not self.is_counting:
            self.build(classes)
        row, col = _peaks(maps, self.image_size)
        boxes = ops.cast(y_true, "float32")[..., None]  # (n, most, 5, 1)
        x, y, w, h, index = (boxes[:, :, i] for i in range(5))
        of_class = ops.equal(index, ops.arange(classes, dtype="float32"))
        inside = points_in_boxes(col, row, (x, y, w, h))
        for counts, boxed in ((self.hits, of_class & inside), (self.pairs, of_class)):
            present = ops.any(boxed, axis=1)  # (n, classes)
            counts.assign_add(ops.sum(ops.cast(present, "float32"), axis=0))

    def _value(self, hits, pairs):
        if self.average == "weighted":
            return ops.sum(hits) / ops.sum(pairs)
        return super()._value(hits, pairs)


@keras.saving.register_keras_serializable(package="kerasloc")
class AttentionAccuracy(_CountedByClass):
    """Share of the maps whose attention overlaps the boxes of their class enough.

    Equal to ``mean`` of ``kerasloc.metrics.tiou`` and ``tior``: over thresholds and
    over the classes with boxes; NaN without any. Predictions are refined maps (n, rows,
    cols, classes) in [0, 1], attended from 0.999 on; targets are the masks of the
    boxes, true or above 0.5, of the same shape.

    Args:
        ratio: "iou", or "ior" for the share of the attention inside the boxes.
        thresholds: Thresholds, (thresholds,); None for the published ones.

    Raises:
        ValueError: If a call's maps and masks have different shapes.

    Reference:
        Ouyang et al., IEEE TMI 40(10), 2021, Section IV-B.

    Example:
        >>> metric = AttentionAccuracy("ior", thresholds=(0.5, 1.0))
        >>> masks = np.array([[[[1.0], [0.0]]]])
        >>> metric.update_state(masks, np.ones_like(masks))
        >>> float(metric.result())
        0.5
    """

    counts = ("reached", "pairs")
    arguments = ("ratio", "thresholds")
    reached: Any
    pairs: Any

    def __init__(
        self,
        ratio: str = "iou",
        thresholds: Sequence[float] | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        if ratio not in PUBLISHED:
            raise ValueError(f"Expected a ratio of iou or ior. Received: {ratio!r}.")
        super().__init__(name or f"t{ratio}", **kwargs)
        values = np.asarray(PUBLISHED[ratio] if thresholds is None else thresholds)
        if values.ndim != 1 or not values.size or np.isnan(values).any():
            rule = "at least one threshold, (thresholds,), without NaN"
            raise ValueError(f"Expected {rule}. Received: {thresholds!r}.")
        self.ratio, self.thresholds = ratio, tuple(map(float, values))

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Count the pairs of a batch; sample weights are ignored."""
        check_process(keras.backend.backend())
        masks, maps = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        pairs = zip(masks.shape, maps.shape, strict=False)
        same = all(None in pair or pair[0] == pair[1] for pair in pairs)
        if not same or (len(masks.shape), len(maps.shape)) != (4, 4):
            raise ValueError(
                "Expected masks and refined maps of one shape (n, rows, cols, classes)."
                f" Received: {tuple(masks.shape)} and {tuple(maps.shape)}."
            )
        if not self.is_counting:
            self.build(maps.shape[-1])
        attended = ops.greater_equal(ops.cast(maps, "float32"), ATTENDED)
        boxed = ops.greater(ops.cast(masks, "float32"), 0.5)
        union = ops.logical_or(attended, boxed)
        masks = (attended & boxed, union if self.ratio == "iou" else attended)
        shared, area = (ops.sum(ops.cast(m, "float32"), axis=(1, 2)) for m in masks)
        value = shared / ops.maximum(area, 1)  # (n, classes)
        thresholds = np.asarray(self.thresholds, np.float32)
        reached = ops.greater_equal(value[..., None], thresholds)
        levels = ops.sum(ops.cast(reached, "float32"), axis=-1)
        has = ops.cast(ops.any(boxed, axis=(1, 2)), "float32")
        self.reached.assign_add(ops.sum(levels * has, axis=0))
        self.pairs.assign_add(ops.sum(has, axis=0))

    def _value(self, reached, pairs):
        counted = ops.cast(ops.greater(pairs, 0), "float32")
        ratios = reached / ops.maximum(pairs, 1)
        return ops.sum(ratios) / (ops.sum(counted) * len(self.thresholds))


def _peaks(maps: Any, size: tuple[int, int]) -> tuple[Any, Any]:
    """Return row and column of the maxima of maps at another size, (n, 1, classes)."""
    large = ops.image.resize(maps, size, "bilinear", data_format="channels_last")
    flat = ops.reshape(large, (-1, size[0] * size[1], maps.shape[-1]))
    peak = ops.argmax(flat, axis=1)[:, None]
    row, col = ops.floor_divide(peak, size[1]), ops.mod(peak, size[1])
    return ops.cast(row, "float32"), ops.cast(col, "float32")
