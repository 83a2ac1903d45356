"""The suite ``ham``: training of HAM, its objective against loops, box masks."""

import functools
import types
from collections.abc import Callable
from unittest import mock

import numpy as np

from benchmarks.localization import SIZE, make_boxes
from benchmarks.timing import Race

CLASSES = 14
CALLS = 10  # of short functions in a turn
OPTIONS = {  # option -> default, help
    # Features at an eighth of the size cost about 300 GFLOP an image and step: on two
    # cores, more images or rounds would take many minutes.
    "repeat": (3, "rounds"),
    "backbone": ("resnet50", "backbone of the network"),
    "downsampling": (8, "ratio of the sizes of images and features"),
    "im-size": (256, "sides of the network's images, pixels"),
    "batch-size": (4, "images in a batch"),
}
QUICK = {"repeat": 1, "backbone": "resnet18", "downsampling": 32}
QUICK |= {"im_size": 64, "batch_size": 2}


def padded_boxes(options) -> np.ndarray:
    """Boxes of integer pixels for the first two of every four images, (n, most, 5).

    Rows are x, y, w, h, class; padding has class -1.
    """
    rows = make_boxes(options.batch_size)
    rows[:, 1:5] = np.round(rows[:, 1:5] * (options.im_size / SIZE[0]))
    images = [rows[rows[:, 0] == image, 1:] for image in range(options.batch_size)]
    padded = np.zeros((len(images), max(map(len, images)), 5), "float32")
    padded[..., 4] = -1
    for image, boxes in enumerate(images):
        if image % 4 < 2:
            padded[image, : len(boxes)] = boxes
    return padded


def make_batch(options) -> tuple:
    """Noise, and the targets of the objective: labels, masks, tags and flags.

    Of every four images two have boxes, one has labels only and one has no label.
    """
    from kerasloc.training.objectives import ham_target

    rng = np.random.default_rng(0)
    side, boxes = options.im_size, padded_boxes(options)
    images = rng.standard_normal((len(boxes), side, side, 3), dtype="float32")
    labels = (rng.random((len(boxes), CLASSES)) < 0.1).astype("float32")
    image, row = np.nonzero(boxes[..., 4] >= 0)
    labels[image, boxes[image, row, 4].astype(int)] = 1
    labels[2::4, 0], labels[3::4] = 1, 0
    element = {"image": images, "labels": labels, "boxes": boxes}
    images, targets = ham_target(CLASSES, (side, side))(element)
    return images, {name: np.asarray(value) for name, value in targets.items()}


def network(options):
    """Build an untrained HAM."""
    from kerasloc.models.ham import ham

    shape, small = (options.im_size, options.im_size, 3), options.downsampling
    return ham(shape, CLASSES, options.backbone, downsampling=small)


def class_terms(outputs, labels, **_) -> dict:
    """Terms of the objective, all 0 but that of the class labels."""
    import tensorflow as tf

    from kerasloc.training.configs import TERMS

    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs["logits"])
    nothing = dict.fromkeys(TERMS, tf.zeros(()))
    # every head has a gradient, or Keras warns in each run
    unused = {"abnormality": 0.0 * tf.reduce_sum(outputs["abnormality_logits"])}
    return nothing | unused | {"classes": tf.reduce_mean(losses)}


def loop_terms(outputs, labels, masks, box_tags, annotated) -> dict:
    """Terms like :func:`kerasloc.models.ham.objective_terms`, by a loop over classes.

    For each class, images are selected; their terms are appended, and averaged at the
    end. No label is missing.
    """
    import tensorflow as tf

    abnormal = tf.reduce_max(labels, axis=1)
    attention = outputs["abnormality_maps"][..., 0]
    union, boxes, bounding = tf.zeros_like(attention), [], []
    for index in range(labels.shape[1]):
        label, shown = labels[:, index], outputs["maps"][..., index]
        union = tf.maximum(union, shown * label[:, None, None])
        bounding.append(_outside(shown, attention, label))
        taken = box_tags[:, index] * annotated > 0
        refined, mask = outputs["refined_maps"][..., index], masks[..., index]
        boxes.append(_box_error(refined, mask, taken))
    logits = outputs["abnormality_logits"][:, 0]
    losses = tf.nn.sigmoid_cross_entropy_with_logits(abnormal, logits)
    return class_terms(outputs, labels) | {
        "abnormality": tf.reduce_mean(losses),
        "boxes": _flagged_mean(boxes),
        "bounding": _flagged_mean(bounding),
        "union": _outside(attention, union, abnormal)[0],
    }


def _outside(inner, outer, labels):
    """Mean share of attention outside of another, and a flag of any label."""
    import tensorflow as tf

    inner, outer = (tf.boolean_mask(maps, labels > 0) for maps in (inner, outer))
    inside = tf.minimum(inner, outer) * tf.sigmoid(100 * (inner - 0.75))
    area = tf.reduce_sum(inner, axis=(1, 2))
    shares = (area - tf.reduce_sum(inside, axis=(1, 2))) / tf.maximum(area, 1e-5)
    return tf.math.divide_no_nan(tf.reduce_sum(shares), tf.reduce_sum(labels)), (
        tf.reduce_any(labels > 0)
    )


def _box_error(refined, mask, taken):
    """Error of a class's refined maps, and a flag of any image with its boxes."""
    import tensorflow as tf

    refined, mask = (tf.boolean_mask(maps, taken) for maps in (refined, mask))
    area = tf.reduce_sum(refined) + tf.reduce_sum(mask)
    error = tf.reduce_sum(tf.square(refined - mask)) / tf.maximum(area, 1e-5)
    return error, tf.reduce_any(taken)


def _flagged_mean(pairs):
    """Mean of the values whose flag is true; 0 without any."""
    import tensorflow as tf

    values, flags = map(tf.stack, zip(*pairs, strict=True))
    counted = tf.cast(flags, tf.float32)
    return tf.math.divide_no_nan(
        tf.reduce_sum(values * counted), tf.reduce_sum(counted)
    )


def training_step(model, batch, objective: Callable) -> Callable:
    """Function that trains a published step."""
    from kerasloc.training import objectives
    from kerasloc.training.configs import HamTraining

    trainer = objectives.compile_ham(model, HamTraining(), 1000)
    trainer.jit_compile = False  # XLA cannot select images

    def step():
        with mock.patch.object(objectives, "objective_terms", objective):
            return trainer.train_on_batch(*batch, return_dict=True)

    return step


def built(options, build: Callable = network) -> tuple:
    """A network, a batch, and a training step with the package's objective.

    Sections of the same sizes share them: a step of ResNet-50 takes longer to compile
    than to run.
    """
    names = ("backbone", "downsampling", "im_size", "batch_size")
    return _built(build, *((name, getattr(options, name)) for name in names))


@functools.lru_cache(maxsize=1)
def _built(build, *sizes):
    from kerasloc.models.ham import objective_terms

    options = types.SimpleNamespace(**dict(sizes))
    model, batch = build(options), make_batch(options)
    return model, batch, training_step(model, batch, objective_terms)


def training(options, build: Callable = network) -> list[dict]:
    """Steps with the class loss alone, with the objective by loops, and vectorized.

    The ratio to the class loss alone is the share of the speed that remains with the
    objective and its gradient from the maps to the features: 0.95 is 5 % of a step.
    """
    model, batch, step = built(options, build)
    race = Race("training", "images/s")
    alone, loop = "step, class loss alone", "step, loop over classes"
    for name, work, against in (
        (alone, training_step(model, batch, class_terms), {}),
        (loop, training_step(model, batch, loop_terms), {alone: None}),
        ("step, ours", step, {loop: None, alone: 0.95}),
    ):
        race.add(name, work, options.batch_size, against)
    return race.run(options.repeat)


def make_outputs(model, count: int) -> dict:
    """Random outputs in the shapes of a network's, attention below and above 0.75."""
    rng = np.random.default_rng(0)
    outputs = {}
    for name, like in model.output.items():
        values = rng.standard_normal((count, *like.shape[1:]), dtype="float32")
        if "refined" in name:
            values = 1 / (1 + np.exp(-3 * values))
        outputs[name] = np.maximum(values, 0) if "maps" in name else values
    return outputs


def gradients(objective: Callable, outputs: dict, targets: dict) -> Callable:
    """Function that computes an objective's total and its gradients by output."""
    import tensorflow as tf

    from kerasloc.models.ham import WEIGHTS

    @tf.function
    def compiled(outputs, targets):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            terms = objective(outputs, **targets)
            total = sum(weight * terms[name] for name, weight in WEIGHTS.items())
        return total, tape.gradient(total, outputs)

    return functools.partial(
        compiled, *tf.nest.map_structure(tf.constant, (outputs, targets))
    )


def objective(
    options,
    build: Callable = network,
    loop_objective: Callable = loop_terms,
    calls: int = CALLS,
) -> list[dict]:
    """The objective and its gradient by the network's outputs, against a step.

    A ratio of 20 to the step means that the objective is 5 % of it.
    """
    from kerasloc.models.ham import objective_terms

    model, (_, targets), step = built(options, build)
    outputs = make_outputs(model, options.batch_size)
    loop, fast = (
        gradients(terms, outputs, targets)
        for terms in (loop_objective, objective_terms)
    )
    np.testing.assert_allclose(loop()[0], fast()[0], rtol=1e-4)
    race = Race("objective", "ms/batch")
    base, slow = "training step", "objective, loop over classes"
    race.add(base, step)
    for name, work, against in (
        (slow, loop, {base: None}),
        ("objective, ours", fast, {slow: None, base: 20.0}),
    ):
        race.add(name, functools.partial(_repeated, work, calls), calls, against)
    return race.run(options.repeat)


def _repeated(work: Callable, calls: int) -> None:
    """Wait for every total, also where it is computed on another device."""
    for _ in range(calls):
        total, _ = work()
        float(total)


def drawn_by_loop(boxes, size) -> np.ndarray:
    """Masks (n, rows, cols, classes) by a loop over images and classes."""
    from kerasloc.boxes import to_mask

    masks = np.zeros((len(boxes), *size, CLASSES), bool)
    for image, rows in enumerate(boxes):
        for index in range(CLASSES):
            of_class = rows[rows[:, 4] == index, :4]
            if len(of_class):
                masks[image, :, :, index] = to_mask(of_class, size)
    return masks


def masks(options, calls: int = CALLS) -> list[dict]:
    """Masks drawn from boxes in the graph, against a loop over images and classes."""
    import tensorflow as tf

    from kerasloc.data.decode import box_masks

    size, boxes = (options.im_size, options.im_size), padded_boxes(options)
    compiled = tf.function(lambda boxes: box_masks(boxes, size, CLASSES))
    constant, count = tf.constant(boxes), calls * len(boxes)
    race, loop = Race("masks"), "loop over images and classes"
    race.add(loop, lambda: [drawn_by_loop(boxes, size) for _ in range(calls)], count)
    race.add(
        "in the graph",
        lambda: [compiled(constant) for _ in range(calls)],
        count,
        {loop: None},
    )
    return race.run(options.repeat)


SECTIONS = (training, objective, masks)
