"""The suite ``ham``: training of HAM, its objective against a loop, box masks."""

import functools
import types
from collections.abc import Callable
from unittest import mock

import numpy as np

from benchmarks.localization import SIZE, make_boxes
from benchmarks.timing import Race

CLASSES = 14
CALLS = 10  # of what is short, in a turn
OPTIONS = {  # option -> default, what the help says
    # Features at an eighth of the size cost about 300 GFLOP an image and step: on two
    # cores, more images or rounds take longer than one likes to wait.
    "repeat": (3, "rounds"),
    "backbone": ("resnet50", "of the network"),
    "downsampling": (8, "how much smaller than the images the features are"),
    "im-size": (256, "sides of the network's images, pixels"),
    "batch-size": (4, "images at once"),
}
QUICK = {
    "repeat": 1,
    "backbone": "resnet18",
    "downsampling": 32,
    "im_size": 64,
    "batch_size": 2,
}


def padded_boxes(options) -> np.ndarray:
    """Boxes of whole pixels for the first two of every four images, (n, most, 5).

    Rows are x, y, w, h, class; class -1 is none.
    """
    rows = make_boxes(options.batch_size)
    rows[:, 1:5] = np.round(rows[:, 1:5] * (options.im_size / SIZE[0]))
    own = [rows[rows[:, 0] == image, 1:] for image in range(options.batch_size)]
    padded = np.zeros((len(own), max(map(len, own)), 5), "float32")
    padded[..., 4] = -1
    for image, boxes in enumerate(own):
        if image % 4 < 2:
            padded[image, : len(boxes)] = boxes
    return padded


def make_batch(options) -> tuple:
    """Noise, and what the objective takes: labels, masks, tags and flags.

    Of every four images two have boxes, one has labels alone and one has nothing.
    """
    from kerasloc.training.ham import target

    rng = np.random.default_rng(0)
    side, boxes = options.im_size, padded_boxes(options)
    images = rng.standard_normal((len(boxes), side, side, 3), dtype="float32")
    labels = (rng.random((len(boxes), CLASSES)) < 0.1).astype("float32")
    image, place = np.nonzero(boxes[..., 4] >= 0)
    labels[image, boxes[image, place, 4].astype(int)] = 1
    labels[2::4, 0], labels[3::4] = 1, 0
    element = {"image": images, "labels": labels, "boxes": boxes}
    images, targets = target(CLASSES, (side, side))(element)
    return images, {name: np.asarray(value) for name, value in targets.items()}


def network(options):
    """An untrained HAM."""
    from kerasloc.models.ham import ham

    shape, small = (options.im_size, options.im_size, 3), options.downsampling
    return ham(shape, CLASSES, options.backbone, downsampling=small)


def class_terms(outputs, labels, **_) -> dict:
    """The terms with that of the class labels alone; the others are 0.

    Args:
        outputs: As of :func:`kerasloc.models.ham.ham`.
        labels: 1 or 0, (n, classes).
        **_: What else the objective takes.
    """
    import tensorflow as tf

    from kerasloc.training.configs import TERMS

    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels, outputs["logits"])
    nothing = dict.fromkeys(TERMS, tf.zeros(()))
    # every head has a gradient, or Keras warns in each run
    unused = {"abnormality": 0.0 * tf.reduce_sum(outputs["abnormality_logits"])}
    return nothing | unused | {"classes": tf.reduce_mean(losses)}


def loop_terms(outputs, labels, masks, box_tags, annotated) -> dict:
    """As :func:`kerasloc.models.ham.objective_terms`, by a loop over classes.

    For each class, images are selected; what comes of them is appended, and averaged
    at the end. All labels are known.

    Args:
        outputs: As of :func:`kerasloc.models.ham.ham`.
        labels: 1 or 0, (n, classes).
        masks: 1 in boxes, (n, rows, cols, classes).
        box_tags: (n, classes).
        annotated: (n,).
    """
    import tensorflow as tf

    abnormal = tf.reduce_max(labels, axis=1)
    attention = outputs["abnormality_maps"][..., 0]
    union, boxes, bounding = tf.zeros_like(attention), [], []
    for index in range(labels.shape[1]):
        own, shown = labels[:, index], outputs["maps"][..., index]
        union = tf.maximum(union, shown * own[:, None, None])
        bounding.append(_outside(shown, attention, own))
        taken = box_tags[:, index] * annotated > 0
        refined, mask = outputs["refined_maps"][..., index], masks[..., index]
        boxes.append(_box_error(refined, mask, taken))
    logits = outputs["abnormality_logits"][:, 0]
    losses = tf.nn.sigmoid_cross_entropy_with_logits(abnormal, logits)
    return class_terms(outputs, labels) | {
        "abnormality": tf.reduce_mean(losses),
        "boxes": _mean_of_some(boxes),
        "bounding": _mean_of_some(bounding),
        "union": _outside(attention, union, abnormal)[0],
    }


def _outside(inner, outer, labels):
    """The mean share of attention outside another, and whether there is any label."""
    import tensorflow as tf

    inner, outer = (tf.boolean_mask(maps, labels > 0) for maps in (inner, outer))
    inside = tf.minimum(inner, outer) * tf.sigmoid(100 * (inner - 0.75))
    area = tf.reduce_sum(inner, axis=(1, 2))
    shares = (area - tf.reduce_sum(inside, axis=(1, 2))) / tf.maximum(area, 1e-5)
    return tf.math.divide_no_nan(tf.reduce_sum(shares), tf.reduce_sum(labels)), (
        tf.reduce_any(labels > 0)
    )


def _box_error(refined, mask, taken):
    """The error of a class's refined maps, and whether an image has its boxes."""
    import tensorflow as tf

    refined, mask = (tf.boolean_mask(maps, taken) for maps in (refined, mask))
    area = tf.reduce_sum(refined) + tf.reduce_sum(mask)
    error = tf.reduce_sum(tf.square(refined - mask)) / tf.maximum(area, 1e-5)
    return error, tf.reduce_any(taken)


def _mean_of_some(pairs):
    """The mean of the values whose flag is true; 0 without any."""
    import tensorflow as tf

    values, flags = map(tf.stack, zip(*pairs, strict=True))
    counted = tf.cast(flags, tf.float32)
    return tf.math.divide_no_nan(
        tf.reduce_sum(values * counted), tf.reduce_sum(counted)
    )


def training_step(model, batch, objective: Callable) -> Callable:
    """One step of the published training.

    Args:
        model: Of :func:`network`.
        batch: Of :func:`make_batch`.
        objective: In the place of :func:`kerasloc.models.ham.objective_terms`.
    """
    from kerasloc.training import ham
    from kerasloc.training.configs import HamTraining

    trainer = ham.ham_trainer(model, HamTraining(), 1000)
    trainer.jit_compile = False  # XLA cannot select images; all go without

    def step():
        with mock.patch.object(ham, "objective_terms", objective):
            return trainer.train_on_batch(*batch, return_dict=True)

    return step


def built(options) -> tuple:
    """A network, a batch, and a training step with our objective.

    Sections that ask for the same get the same: a step of ResNet-50 takes longer to
    compile than to run.
    """
    names = ("backbone", "downsampling", "im_size", "batch_size")
    return _built(network, *((name, getattr(options, name)) for name in names))


@functools.lru_cache(maxsize=1)
def _built(build, *sizes):
    from kerasloc.models.ham import objective_terms

    options = types.SimpleNamespace(**dict(sizes))
    model, batch = build(options), make_batch(options)
    return model, batch, training_step(model, batch, objective_terms)


def training(options) -> list[dict]:
    """Steps with the class loss alone, with the objective by loops, and with ours.

    The ratio to the class loss alone is what the objective leaves of the speed, what
    its gradient does between its maps and the features included: 0.95, 5 % of a step.
    """
    model, batch, step = built(options)
    race = Race("training", "images/s")
    for name, work in (
        ("class loss alone", training_step(model, batch, class_terms)),
        ("loop over classes", training_step(model, batch, loop_terms)),
        ("ours", step),
    ):
        race.add(f"step, {name}", work, options.batch_size)
    race.run(options.repeat)
    alone, loop, ours = race.works
    return [
        race.row(alone),
        race.row(loop, alone),
        race.row(ours, loop),
        race.row(ours, alone, 0.95),
    ]


def make_outputs(model, count: int) -> dict:
    """Random outputs in the sizes of a network's, attention on both sides of 0.75."""
    rng = np.random.default_rng(0)
    outputs = {}
    for name, like in model.output.items():
        values = rng.standard_normal((count, *like.shape[1:]), dtype="float32")
        if "refined" in name:
            values = 1 / (1 + np.exp(-3 * values))
        outputs[name] = np.maximum(values, 0) if "maps" in name else values
    return outputs


def gradients(objective: Callable, outputs: dict, targets: dict) -> Callable:
    """Function that gives an objective's total and its gradients by output, compiled.

    Args:
        objective: As :func:`kerasloc.models.ham.objective_terms`.
        outputs: Of :func:`make_outputs`.
        targets: Of :func:`make_batch`.
    """
    import tensorflow as tf

    from kerasloc.models.ham import WEIGHTS

    @tf.function
    def compiled(outputs, targets):
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            terms = objective(outputs, **targets)
            total = sum(weight * terms[name] for name, weight in WEIGHTS.items())
        return total, tape.gradient(total, outputs)

    given = tf.nest.map_structure(tf.constant, (outputs, targets))
    return functools.partial(compiled, *given)


def objective(options) -> list[dict]:
    """The objective and its gradient by the network's outputs, against a step.

    A ratio of 20 to the step says that the objective is 5 % of it.
    """
    from kerasloc.models.ham import objective_terms

    model, batch, step = built(options)
    given = make_outputs(model, options.batch_size), batch[1]
    race = Race("objective", "ms/batch")
    race.add("training step", step)
    works = [gradients(terms, *given) for terms in (loop_terms, objective_terms)]
    for name, work in zip(("loop over classes", "ours"), works, strict=True):
        race.add(f"objective, {name}", functools.partial(_repeated, work), CALLS)
    np.testing.assert_allclose(*(work()[0] for work in works), rtol=1e-4)
    race.run(options.repeat)
    step, loop, ours = race.works
    return [
        race.row(step),
        race.row(loop, step),
        race.row(ours, loop),
        race.row(ours, step, 20.0),
    ]


def _repeated(work):
    """Waits for every answer, also where they come from another device."""
    for _ in range(CALLS):
        total, _ = work()
        float(total)


def drawn_by_loop(boxes, size) -> np.ndarray:
    """Masks (n, rows, cols, classes) by a loop over images and classes.

    Args:
        boxes: Of :func:`padded_boxes`.
        size: (rows, cols).
    """
    from kerasloc.boxes import to_mask

    masks = np.zeros((len(boxes), *size, CLASSES), bool)
    for image, rows in enumerate(boxes):
        for index in range(CLASSES):
            own = rows[rows[:, 4] == index, :4]
            if len(own):
                masks[image, :, :, index] = to_mask(own, size)
    return masks


def masks(options) -> list[dict]:
    """Masks drawn from boxes in the graph, against a loop over images and classes."""
    import tensorflow as tf

    from kerasloc.data.masks import box_masks

    size, boxes = (options.im_size, options.im_size), padded_boxes(options)
    compiled = tf.function(lambda boxes: box_masks(boxes, size, CLASSES))
    given, count = tf.constant(boxes), CALLS * len(boxes)
    race, loop, ours = Race("masks"), "loop over images and classes", "in the graph"
    race.add(loop, lambda: [drawn_by_loop(boxes, size) for _ in range(CALLS)], count)
    race.add(ours, lambda: [compiled(given) for _ in range(CALLS)], count)
    race.run(options.repeat)
    return [race.row(loop), race.row(ours, loop)]


SECTIONS = (training, objective, masks)
