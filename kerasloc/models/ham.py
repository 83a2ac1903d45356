"""HAM: an attention for "abnormal", one for every class inside it, and its objective.

Reference:
    Ouyang, Karanam, Wu, Chen, Huo, Zhou, Wang, Cheng: Learning hierarchical attention
    for weakly-supervised chest X-ray abnormality localization and diagnosis, IEEE TMI
    40(10), 2021.
"""

import keras
from keras import layers, ops

from kerasloc.backbones import blocks
from kerasloc.backbones.blocks import relu, start
from kerasloc.backbones.resnet import ResNetConfig, conv, norm, resnet
from kerasloc.layers import (
    LogSumExpPooling,
    MappedDense,
    ScaledAdd,
    SoftMask,
    sum_over_replicas,
)

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
WEIGHTS = {
    "abnormality": 0.01,
    "classes": 1.0,
    "boxes": 0.5,
    "bounding": 0.001,
    "union": 0.001,
}
STEEPNESS, INSIDE = 100.0, 0.75  # of the gate that says what is surely attended
TINY = 1e-5


def ham(
    input_shape, classes: int, backbone: str = "resnet50", **options
) -> keras.Model:
    """The network; its outputs are by name, float32.

    ``logits`` (n, classes) and ``abnormality_logits`` (n, 1); raw ``maps`` (n, rows,
    cols, classes) and ``abnormality_maps`` (n, rows, cols, 1) at the features' size,
    not below 0; ``refined_maps`` and ``abnormality_refined_maps``, soft masks in
    [0, 1] at the image's size.

    Args:
        input_shape: Rows, columns, channels; both sides multiples of ``downsampling``.
        classes: How many.
        backbone: One of :data:`kerasloc.backbones.resnet.ARCHITECTURES`.
        **options: ``downsampling`` (8; or 16, 32): how much smaller the features are;
            ``using_pooling`` (True): the stem's max-pooling; ``using_dilation`` (True).

    Raises:
        ValueError: If a size or an option does not fit.
        TypeError: If an option is unknown.
    """
    config = settings(**options)
    image = start(input_shape, classes, config["downsampling"])
    deep = resnet(image, backbone, _stages(config))["stage5"]
    x = layers.Concatenate(name="features")([deep, _foreground(deep)])
    x = relu(norm(conv(x, WIDTH, 3, "cls_head_0"), "cls_head_1"), "cls_head")
    x = layers.SpatialDropout2D(0.1, name="cls_head_dropout")(x)
    pooled = LogSumExpPooling(6.0, name="pooled")(x)  # (n, 512)
    outputs = {}
    for prefix, name, units in (
        ("", "cls_fc", classes),
        ("abnormality_", "anomaly_fc", 1),
    ):
        initial = keras.initializers.RandomUniform(-(WIDTH**-0.5), WIDTH**-0.5)
        dense = MappedDense(units, kernel_initializer=initial, name=name)
        logits, maps = dense(pooled, x)
        refined = SoftMask(input_shape[:2], name=f"{prefix}refined_maps")(maps)
        outputs |= {
            f"{prefix}logits": logits,
            f"{prefix}maps": maps,
            f"{prefix}refined_maps": refined,
        }
    return keras.Model(image, outputs, name="ham")


def settings(*, downsampling=8, using_pooling=True, using_dilation=True) -> dict:
    """The checked options."""
    config = dict(locals())
    blocks.check({"downsampling is 8, 16 or 32": downsampling in (8, 16, 32)}, config)
    return config


def describe(arrays) -> dict:
    """What shapes tell; see :mod:`kerasloc.backbones.blocks`.

    Strides and dilations have no weights: the published defaults are taken, but for
    basic blocks that only the network without pooling, downsampling 32, has.
    """
    return blocks.describe(arrays, "cls_fc", _options)


def _options(kernels) -> dict:
    kernels["fa_layer_conva_0"]  # no other family has it
    basic = "layer1_0_conv3" not in kernels
    if basic and "layer1_0_downsample_0" in kernels:
        return {"downsampling": 32, "using_pooling": False}
    return {}


def _stages(config: dict) -> ResNetConfig:
    pooling = bool(config["using_pooling"])
    strides, dilations = STAGES[pooling, config["downsampling"]]
    if not config["using_dilation"]:
        dilations = (1, 1, 1, 1)
    return ResNetConfig(strides, dilations, dilate="first", pooling=pooling)


def _foreground(deep):
    """The foreground attention module: a quarter of the channels, attended."""
    width = deep.shape[-1] // 4
    name = "fa_layer"
    x = norm(conv(deep, width, 3, f"{name}_conva_0"), f"{name}_conva_1")
    x = _attended(x, f"{name}_fa")
    return norm(conv(x, width, 3, f"{name}_convb_0"), f"{name}_convb_1")


def _attended(x, name: str):
    """Features plus a learned share of where, and in which channels, to look."""
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


def objective_terms(outputs, labels, masks=None, box_tags=None, annotated=None) -> dict:
    """The terms of the objective, in the paper's order: scalars by name.

    ``abnormality``: cross-entropy of "any class"; ``classes``: of the class labels;
    ``boxes``: how far refined maps are from the box masks, over images that have boxes
    and are flagged; ``bounding``: how much of a class's attention lies outside of the
    abnormality's; ``union``: how much of the abnormality's lies outside of the
    classes'. A term for which nothing in the batch qualifies is 0.

    Under a distribution strategy every replica answers with the terms of the whole
    batch, and their gradients are those of its own images times the replicas: see
    :func:`kerasloc.layers.sum_over_replicas`.

    Args:
        outputs: As from :func:`ham`.
        labels: 1, 0 or NaN (unknown), (n, classes).
        masks: 1 in a box of the class, else 0, (n, rows, cols, classes) at the image's
            size; None: no image has boxes.
        box_tags: 1 where the image has boxes of the class, (n, classes).
        annotated: 1 for images whose boxes are to be learned from, (n,) or (n, 1).

    Raises:
        ValueError: If some of masks, box_tags and annotated are given and others not.
    """
    if len({one is None for one in (masks, box_tags, annotated)}) > 1:
        raise ValueError(
            "masks, box_tags and annotated are given together. Received: only some of "
            "them."
        )
    outputs = {name: ops.cast(value, "float32") for name, value in outputs.items()}
    labels = ops.cast(labels, "float32")
    known = ops.logical_not(ops.isnan(labels))
    positive = ops.cast(ops.equal(labels, 1.0), "float32")  # NaN equals nothing
    abnormal = ops.max(positive, axis=1, keepdims=True)
    decided = ops.logical_or(abnormal > 0, ops.all(known, axis=1, keepdims=True))
    hidden = outputs["maps"] * positive[:, None, None]
    abnormality = outputs["abnormality_maps"] * abnormal[:, None, None]
    union = ops.max(hidden, axis=-1, keepdims=True)
    fractions = {
        "abnormality": _cross_entropy(outputs["abnormality_logits"], abnormal, decided),
        "classes": _cross_entropy(outputs["logits"], positive, known),
        "boxes": _box_errors(outputs["refined_maps"], masks, box_tags, annotated),
        "bounding": _outside(hidden, abnormality, positive),
        "union": _outside(abnormality, union, abnormal),
    }
    return _ratios(fractions)


def _cross_entropy(logits, labels, known):
    """Sum of the known labels' cross-entropies, and how many they are, (1,) each."""
    losses = ops.binary_crossentropy(labels, logits, from_logits=True)
    counted = ops.cast(known, "float32")
    return ops.sum(losses * counted)[None], ops.sum(counted)[None]


def _box_errors(refined, masks, box_tags, annotated):
    """Squared errors of the images with boxes, and their areas, (classes,) each."""
    if masks is None:
        return ops.zeros(1), ops.zeros(1)
    masks = ops.cast(masks, "float32")
    flags = ops.reshape(ops.cast(annotated, "float32"), (-1, 1))
    taken = ops.cast(box_tags, "float32") * flags
    errors = ops.sum(ops.square(refined - masks), axis=(1, 2))  # (n, classes)
    areas = ops.sum(refined + masks, axis=(1, 2))
    return ops.sum(errors * taken, axis=0), ops.sum(areas * taken, axis=0)


def _outside(inner, outer, labels):
    """Shares of the inner maps, where surely attended, outside the outer, and counts.

    Args:
        inner: (n, rows, cols, k).
        outer: The same, or with one map for all.
        labels: 1 for the maps that count, (n, k).

    Returns:
        The shares' sum and their count, (k,) each.
    """
    gate = ops.sigmoid(STEEPNESS * (inner - INSIDE))
    inside = ops.sum(ops.minimum(inner, outer) * gate, axis=(1, 2))
    area = ops.sum(inner, axis=(1, 2))
    share = (area - inside) / ops.maximum(area, TINY)
    return ops.sum(share * labels, axis=0), ops.sum(labels, axis=0)


def _ratios(fractions: dict) -> dict:
    """Numerators over denominators of the whole batch, averaged where there are any.

    Args:
        fractions: Numerators and denominators (k,) by name; 0 / 0 does not count.
    """
    parts = [part for pair in fractions.values() for part in pair]
    total = sum_over_replicas(ops.concatenate(parts))
    terms, place = {}, 0
    for name, (numerators, _) in fractions.items():
        count = numerators.shape[0]
        above, below = (
            total[place + part * count : place + (part + 1) * count] for part in (0, 1)
        )
        place += 2 * count
        some = ops.cast(below > 0, "float32")
        # the areas of masks that are nearly 0 must not blow the ratio up
        ratios = some * above / ops.maximum(below, TINY)
        terms[name] = ops.sum(ratios) / ops.maximum(ops.sum(some), 1.0)
    return terms
