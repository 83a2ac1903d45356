"""TIoU and TIoR as they are shown while a network with attention trains."""

import keras
import numpy as np
from keras import ops

from kerasloc.metrics.overlap import ATTENDED, TIOR, TIOU

PUBLISHED = {"iou": TIOU, "ior": TIOR}


@keras.saving.register_keras_serializable(package="kerasloc")
class AttentionAccuracy(keras.metrics.Metric):
    """How often attention and boxes of a class overlap enough, streaming.

    The same number as ``mean`` of ``kerasloc.metrics.tiou`` and ``tior``: over
    thresholds and over the classes with boxes; NaN without any. The answers are
    refined maps (n, rows, cols, classes) in [0, 1], attended from 0.999 on; the truth
    is what the boxes of the class cover, true or above 0.5, of the same shape.

    Args:
        ratio: "iou", or "ior" for the share of the attention inside the boxes.
        thresholds: (thresholds,); None for the published ones of this ratio.
        name: Of the metric; "tiou" or "tior" when None.
        **options: Of ``keras.metrics.Metric``.

    Raises:
        ValueError: If the ratio has another name, there is no threshold, or (when
            called) maps and masks have different shapes.
    """

    def __init__(self, ratio="iou", thresholds=None, name=None, **options):
        if ratio not in PUBLISHED:
            raise ValueError(f'The ratio is "iou" or "ior". Received: {ratio!r}.')
        super().__init__(name=name or f"t{ratio}", **options)
        values = np.asarray(PUBLISHED[ratio] if thresholds is None else thresholds)
        if values.ndim != 1 or not values.size or np.isnan(values).any():
            raise ValueError(
                "Thresholds are at least one number, (thresholds,), without NaN. "
                f"Received: {thresholds!r}."
            )
        self.ratio, self.thresholds = ratio, tuple(map(float, values))
        self.reached = self.pairs = None

    def build(self, classes: int):
        """Makes the counts, which the first batch does otherwise.

        For models that update the metric themselves: TensorFlow's strategies fail
        where a step makes variables.
        """
        self.reached = self.add_weight((classes,), "zeros", name="reached")
        self.pairs = self.add_weight((classes,), "zeros", name="pairs")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts the pairs of a batch; ``sample_weight`` has no place here."""
        masks, maps = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        _check_shapes(masks.shape, maps.shape)
        if self.reached is None:
            self.build(maps.shape[-1])
        attended = ops.greater_equal(ops.cast(maps, "float32"), ATTENDED)
        boxed = ops.greater(ops.cast(masks, "float32"), 0.5)
        both = _pixels(ops.logical_and(attended, boxed))
        union = ops.logical_or(attended, boxed)
        area = _pixels(union if self.ratio == "iou" else attended)
        value = both / ops.maximum(area, 1)  # (n, classes)
        reached = ops.greater_equal(value[..., None], np.float32(self.thresholds))
        levels = ops.sum(ops.cast(reached, "float32"), axis=-1)
        has = ops.cast(ops.any(boxed, axis=(1, 2)), "float32")
        self.reached.assign_add(ops.sum(levels * has, axis=0))
        self.pairs.assign_add(ops.sum(has, axis=0))

    def result(self):
        """The mean, a number; NaN before the first pair."""
        if self.reached is None:
            return ops.convert_to_tensor(float("nan"))
        counted = ops.cast(ops.greater(self.pairs, 0), "float32")
        each = self.reached / ops.maximum(self.pairs, 1)
        return ops.sum(each) / (ops.sum(counted) * len(self.thresholds))

    def get_config(self):
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "thresholds": list(self.thresholds),
        }


def _pixels(masks):
    """How many pixels of masks are true, (n, classes), exact up to 2 ** 24."""
    return ops.sum(ops.cast(masks, "float32"), axis=(1, 2))


def _check_shapes(masks, maps):
    """Raises where masks would be spread over maps of another shape."""
    pairs = zip(masks, maps, strict=False)
    same = all(None in pair or pair[0] == pair[1] for pair in pairs)
    if not same or (len(masks), len(maps)) != (4, 4):
        raise ValueError(
            "Masks and refined maps have one shape (n, rows, cols, classes). "
            f"Received: {tuple(masks)} and {tuple(maps)}. Draw the masks at the size "
            "of the maps."
        )
