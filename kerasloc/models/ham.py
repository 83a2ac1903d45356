"""HAM: an attention for "abnormal", one for every class inside it, and its objective.

Reference:
    Ouyang, Karanam, Wu, Chen, Huo, Zhou, Wang, Cheng: Learning hierarchical attention
    for weakly-supervised chest X-ray abnormality localization and diagnosis, IEEE TMI
    40(10), 2021.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import layers, ops

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import relu, start
from kerasloc.backbones.configs import ResNetConfig
from kerasloc.backbones.resnet import conv, norm, resnet
from kerasloc.configs import check_rules
from kerasloc.layers import LogSumExpPooling, MappedDense, ScaledAdd, SoftMask
from kerasloc.layers.devices import sum_over_replicas
from kerasloc.models.options import HamOptions

WIDTH = 512  # channels of the features that maps are made of
# (pooling in the stem, downsampling) -> strides and, when on, dilations of the stages
STAGES = {
    (True, 32): ((1, 2, 2, 2), (1, 1, 1, 2)),
    (True, 16): ((1, 2, 2, 1), (1, 1, 1, 2)),
    (True, 8): ((1, 2, 1, 1), (1, 1, 2, 4)),
    (False, 32): ((2, 2, 2, 2), (1, 1, 1, 2)),
    (False, 16): ((1, 2, 2, 2), (1, 1, 2, 4)),
    (False, 8): ((1, 2, 2, 1), (1, 2, 4, 6)),
}
TERMS = ("abnormality", "classes", "boxes", "bounding", "union")
WEIGHTS = dict(zip(TERMS, (0.01, 1.0, 0.5, 0.001, 0.001), strict=True))
STEEPNESS, INSIDE = 100.0, 0.75  # of the gate that says what is surely attended
TINY = 1e-5


def ham(
    input_shape: Sequence[int],
    classes: int,
    backbone: str = "resnet50",
    *,
    downsampling: int = 8,
    using_pooling: bool = True,
    using_dilation: bool = True,
) -> keras.Model:
    """Build the network; its outputs are named, float32.

    ``logits`` (n, classes) and ``abnormality_logits`` (n, 1); raw ``maps`` (n, rows,
    cols, classes) and ``abnormality_maps`` (n, rows, cols, 1) at the features' size,
    not below 0; ``refined_maps`` and ``abnormality_refined_maps``, soft masks in
    [0, 1] at the image's size.

    Options as for :class:`~kerasloc.models.options.HamOptions`;
    ``input_shape`` is (rows, cols, channels), both sides multiples of ``downsampling``.

    Raises:
        ValueError: If a size or an option is not allowed.
    """
    options = HamOptions(backbone, downsampling, using_pooling, using_dilation)
    image = start(input_shape, classes, downsampling)
    deep = resnet(image, backbone, _stages(options))["stage5"]
    x = layers.Concatenate(name="features")([deep, _foreground(deep)])
    x = relu(norm(conv(x, WIDTH, 3, "cls_head_0"), "cls_head_1"), "cls_head")
    x = layers.SpatialDropout2D(0.1, name="cls_head_dropout")(x)
    pooled = LogSumExpPooling(6.0, name="pooled")(x)  # (n, 512)
    outputs: dict[str, Any] = {}
    heads = (("", "cls_fc", classes), ("abnormality_", "anomaly_fc", 1))
    for prefix, name, units in heads:
        initial = keras.initializers.RandomUniform(-(WIDTH**-0.5), WIDTH**-0.5)
        dense = MappedDense(units, kernel_initializer=initial, name=name)
        logits, maps = dense(pooled, x)
        refined = SoftMask(tuple(image.shape[1:3]), name=f"{prefix}refined_maps")(maps)
        outputs |= {
            f"{prefix}logits": logits,
            f"{prefix}maps": maps,
            f"{prefix}refined_maps": refined,
        }
    return keras.Model(image, outputs, name="ham")


def _options(kernels) -> dict:
    kernels["fa_layer_conva_0"]  # no other family has it
    if "layer1_0_downsample_0" in kernels and "layer1_0_conv3" not in kernels:
        return {"downsampling": 32, "using_pooling": False}  # the only such network
    return {}  # strides and dilations have no weights


describe = functools.partial(blocks.describe, last="cls_fc", options_of=_options)


def _stages(options: HamOptions) -> ResNetConfig:
    pooling = bool(options.using_pooling)
    strides, dilations = STAGES[pooling, options.downsampling]
    dilations = dilations if options.using_dilation else (1, 1, 1, 1)
    return ResNetConfig(strides, dilations, dilate="first", pooling=pooling)


def _foreground(deep):
    """Foreground attention module: a quarter of the channels, attended."""
    width = deep.shape[-1] // 4
    name = "fa_layer"
    x = norm(conv(deep, width, 3, f"{name}_conva_0"), f"{name}_conva_1")
    x = _attended(x, f"{name}_fa")
    return norm(conv(x, width, 3, f"{name}_convb_0"), f"{name}_convb_1")


def _attended(x, name: str):
    """Add a learned share of the positions and channels to attend to."""
    rows, cols, width = x.shape[1:]
    shares = layers.Softmax(axis=(1, 2), name=f"{name}_shares", dtype="float32")
    weights = shares(conv(x, 1, 1, f"{name}_conv1"))
    weights = layers.Reshape((rows * cols, 1), name=f"{name}_places")(weights)
    flat = layers.Reshape((rows * cols, width), name=f"{name}_flat")(x)
    y = layers.Dot(axes=1, name=f"{name}_seen")([weights, flat])  # (n, 1, width)
    y = _dense(y, max(1, width // 8), "relu", f"{name}_channel_fc_0")
    y = _dense(y, width, "sigmoid", f"{name}_channel_fc_2")
    y = layers.Reshape((1, 1, width), name=f"{name}_channels")(y)
    z = layers.Multiply(name=f"{name}_gated")([conv(x, width, 1, f"{name}_conv2"), y])
    p = conv(z, 1, 1, f"{name}_conv3")  # (n, rows, cols, 1)
    s = norm(conv(p, 1, 3, f"{name}_conv4"), f"{name}_bn4")
    s = layers.Activation("sigmoid", name=f"{name}_sigmoid")(s)
    ps = layers.Multiply(name=f"{name}_positions")([p, s])
    return ScaledAdd(name=name)(x, ps)


def _dense(x, units: int, activation: str, name: str):
    return layers.Dense(units, activation=activation, use_bias=False, name=name)(x)


def objective_terms(
    outputs: Mapping[str, Any],
    labels: Any,
    masks: Any = None,
    box_tags: Any = None,
    annotated: Any = None,
) -> dict[str, Any]:
    """Compute the terms of the objective, in the paper's order: scalars by name.

    ``abnormality``: cross-entropy of "any class"; ``classes``: that of the class
    labels; ``boxes``: error of the refined maps on the box masks, over images that
    have boxes and are flagged; ``bounding``: share of a class's attention outside the
    abnormality's; ``union``: share of the abnormality's attention outside the
    classes'. A term for which nothing in the batch qualifies is 0.

    Under a distribution strategy they are of the whole batch, see
    :func:`kerasloc.layers.sum_over_replicas`.

    Args:
        outputs: Outputs of :func:`ham` by name.
        labels: 1, 0 or NaN (unknown), (n, classes).
        masks: 1 in a box of the class, else 0, (n, rows, cols, classes) at the image's
            size; None: no image has boxes.
        box_tags: 1 where the image has boxes of the class, (n, classes).
        annotated: 1 for images whose boxes are to be learned from, (n,) or (n, 1).

    Raises:
        ValueError: If masks, box_tags and annotated are incomplete.
    """
    boxes = {"masks": masks, "box_tags": box_tags, "annotated": annotated}
    missing = [name for name, value in boxes.items() if value is None]
    rule = "masks, box_tags and annotated together"
    check_rules({rule: len(missing) in (0, 3)}, f"no {' and no '.join(missing)}")
    outputs = {name: ops.cast(value, "float32") for name, value in outputs.items()}
    labels = ops.cast(labels, "float32")
    labeled = ops.logical_not(ops.isnan(labels))
    positive = ops.cast(ops.equal(labels, 1.0), "float32")  # NaN equals nothing
    abnormal = ops.max(positive, axis=1, keepdims=True)
    decided = ops.logical_or(abnormal > 0, ops.all(labeled, axis=1, keepdims=True))
    hidden = outputs["maps"] * positive[:, None, None]
    abnormality = outputs["abnormality_maps"] * abnormal[:, None, None]
    union = ops.max(hidden, axis=-1, keepdims=True)
    fractions = {
        "abnormality": _cross_entropy(outputs["abnormality_logits"], abnormal, decided),
        "classes": _cross_entropy(outputs["logits"], positive, labeled),
        "boxes": _box_errors(outputs["refined_maps"], masks, box_tags, annotated),
        "bounding": _outside(hidden, abnormality, positive),
        "union": _outside(abnormality, union, abnormal),
    }
    return _ratios(fractions)


def _cross_entropy(logits, labels, labeled):
    """Sum and number of the cross-entropies of labels that are not NaN, (1,) each."""
    losses = ops.binary_crossentropy(labels, logits, from_logits=True)
    counted = ops.cast(labeled, "float32")
    return ops.sum(losses * counted)[None], ops.sum(counted)[None]


def _box_errors(refined, masks, box_tags, annotated):
    """Sum the squared errors and the areas of images with boxes, (classes,) each."""
    if masks is None:
        return ops.zeros(1), ops.zeros(1)
    masks = ops.cast(masks, "float32")
    flags = ops.reshape(ops.cast(annotated, "float32"), (-1, 1))
    taken = ops.cast(box_tags, "float32") * flags
    errors = ops.sum(ops.square(refined - masks), axis=(1, 2))  # (n, classes)
    areas = ops.sum(refined + masks, axis=(1, 2))
    return ops.sum(errors * taken, axis=0), ops.sum(areas * taken, axis=0)


def _outside(inner, outer, labels):
    """Sum and count the shares of attended inner maps outside the outer, (k,) each."""
    gate = ops.sigmoid(STEEPNESS * (inner - INSIDE))
    inside = ops.sum(ops.minimum(inner, outer) * gate, axis=(1, 2))
    area = ops.sum(inner, axis=(1, 2))
    share = (area - inside) / ops.maximum(area, TINY)
    return ops.sum(share * labels, axis=0), ops.sum(labels, axis=0)


def _ratios(fractions: dict) -> dict:
    """Divide the sums of the whole batch and average the ratios but 0 / 0."""
    sums = [values for pair in fractions.values() for values in pair]
    total = sum_over_replicas(ops.concatenate(sums))
    terms, start = {}, 0
    for name, (numerators, _) in fractions.items():
        split = start + numerators.shape[0]
        stop = split + numerators.shape[0]
        above, below, start = total[start:split], total[split:stop], stop
        exists = ops.cast(below > 0, "float32")
        # the areas of masks that are nearly 0 must not blow the ratio up
        ratios = exists * above / ops.maximum(below, TINY)
        terms[name] = ops.sum(ratios) / ops.maximum(ops.sum(exists), 1.0)
    return terms
