"""Bilinear resizing with aligned corners against its formula."""

import keras
import numpy as np
import pytest

from kerasloc.layers import AlignedResize
from kerasloc.layers import resize as resizing

SIZES = [
    ((4, 4), (8, 8)),
    ((8, 8), (3, 3)),
    ((3, 5), (7, 4)),
    ((5, 9), (5, 3)),
    ((2, 3), (64, 33)),
    ((1, 1), (4, 6)),
    ((1, 5), (3, 10)),
    ((6, 7), (1, 1)),
    ((4, 7), (1, 14)),
    ((1, 1), (1, 1)),
]


def expected(features, size):
    """The formula, pixel by pixel: i lies at i (old - 1) / (new - 1)."""
    for axis, new in zip((1, 2), size, strict=True):
        features = np.moveaxis(features, axis, 0)
        old = len(features)
        lines = []
        for index in range(new):
            position = index * (old - 1) / (new - 1) if new > 1 else 0.0
            low = min(int(position), old - 1)
            high = min(low + 1, old - 1)
            share = position - low
            lines.append((1 - share) * features[low] + share * features[high])
        features = np.moveaxis(np.stack(lines), 0, axis)
    return features


def noise(size, channels=3, count=2):
    shape = (count, *size, channels)
    return np.random.default_rng(0).standard_normal(shape).astype("float32")


def test_a_ramp_stays_a_ramp_between_the_same_ends():
    ramp = np.array([0.0, 3.0], "float32").reshape(1, 1, 2, 1)
    wide = np.asarray(AlignedResize(size=(1, 4))(ramp))
    np.testing.assert_allclose(wide.ravel(), [0, 1, 2, 3], atol=1e-6)


WAYS = pytest.mark.parametrize(
    "way",
    [lambda x, size: AlignedResize(size=size)(x), resizing._with_matrices],
    ids=["layer", "matrices"],
)


@WAYS
@pytest.mark.parametrize(("old", "new"), SIZES)
def test_outputs_equal_the_formula(way, old, new):
    x = noise(old)
    np.testing.assert_allclose(np.asarray(way(x, new)), expected(x, new), atol=1e-5)


@pytest.mark.parametrize("scale", [1, 2, 3])
def test_a_scale_multiplies_both_sides(scale):
    x = noise((3, 5))
    y = np.asarray(AlignedResize(scale=scale)(x))
    np.testing.assert_allclose(y, expected(x, (3 * scale, 5 * scale)), atol=1e-5)


@pytest.mark.parametrize("size", [(7, 4), (2, 2), (1, 9), (3, 5)])
def test_the_size_is_that_of_the_partner(size):
    x = noise((3, 5))
    y = np.asarray(AlignedResize()(x, noise(size, channels=8)))
    np.testing.assert_allclose(y, expected(x, size), atol=1e-5)


def test_nothing_happens_at_the_same_size():
    x = noise((3, 5))
    np.testing.assert_array_equal(np.asarray(AlignedResize(size=(3, 5))(x)), x)


# Sizes that are unknown until the call

CASES = [
    *[({"size": (6, 7)}, (None, None), None), ({"scale": 2}, (None, None), None)],
    *[({}, (None, None), (None, None)), ({}, (3, 5), (None, None))],
    ({}, (None, None), (7, 4)),
]


def target(options, x):
    rows, cols = x.shape[1:3]
    return options.get("size", (2 * rows, 2 * cols) if options else (7, 4))


@pytest.mark.parametrize(("options", "size", "partner"), CASES)
def test_unknown_sizes_fit_a_symbolic_network(options, size, partner):
    inputs = [keras.Input((*s, 3)) for s in (size, partner) if s is not None]
    model = keras.Model(inputs, AlignedResize(**options)(*inputs))
    if options:
        sides = options.get("size", (None, None))
        assert model.output_shape == (None, *sides, 3)
    for rows, cols in ((3, 5), (4, 2)) if options else ((3, 5),):
        arrays = [noise((rows, cols)), noise((7, 4))][: len(inputs)]
        y = model.predict_on_batch(arrays)
        new = target(options, arrays[0])
        np.testing.assert_allclose(y, expected(arrays[0], new), atol=1e-5)


@pytest.mark.parametrize(("options", "size", "partner"), CASES)
def test_unknown_sizes_fit_a_graph(tf, options, size, partner):
    specs = [tf.TensorSpec((None, *s, 3)) for s in (size, partner) if s is not None]
    layer = AlignedResize(**options)

    @tf.function(input_signature=specs, autograph=False)
    def resize(*inputs):
        return layer(*inputs)

    arrays = [noise((3, 5)), noise((7, 4))][: len(specs)]
    new = target(options, arrays[0])
    np.testing.assert_allclose(resize(*arrays), expected(arrays[0], new), atol=1e-5)


def test_compiled_outputs_equal_the_formula(tf):
    layer = AlignedResize(size=(7, 4))
    x = noise((3, 5))
    y = tf.function(layer, jit_compile=True)(x)
    np.testing.assert_allclose(y, expected(x, (7, 4)), atol=1e-5)


# Precision, gradients, files


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("size", [(7, 4), (3, 5)])
def test_half_precision_keeps_its_type_and_is_near(policy, size):
    x = noise((3, 5))
    y = AlignedResize(size=size, dtype=policy)(x)
    half = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(y.dtype) == half
    y = keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))
    # one rounding before and one after: 2 ** -8 each at most
    np.testing.assert_allclose(y, expected(x, size), atol=0.03)


@WAYS
@pytest.mark.parametrize(("old", "new"), [((3, 5), (7, 4)), ((1, 2), (3, 1))])
def test_gradients_are_the_transposed_formula(tf, way, old, new):
    x = tf.constant(noise(old, channels=1, count=1))
    upstream = noise(new, channels=1, count=1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(way(x, new) * upstream)
    units = np.eye(old[0] * old[1]).reshape(-1, *old, 1)
    slopes = (expected(units, new) * upstream).sum(axis=(1, 2, 3)).reshape(old)
    np.testing.assert_allclose(tape.gradient(loss, x)[0, ..., 0], slopes, atol=1e-5)


def test_half_precision_has_gradients(tf):
    x = tf.constant(noise((3, 5)))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = AlignedResize(scale=2, dtype="mixed_bfloat16")(x)
        loss = tf.reduce_sum(tf.cast(y, tf.float32))
    # the weights of each of the 6 x 10 outputs sum to 1
    gradient = tape.gradient(loss, x).numpy()
    np.testing.assert_allclose(gradient.sum(axis=(1, 2)), 60, rtol=0.02)


@pytest.mark.parametrize("options", [{"size": (6, 7)}, {"scale": 2}, {}])
def test_saved_layer_comes_back(options, reloaded):
    image, partner = keras.Input((3, 5, 3)), keras.Input((6, 7, 2))
    y = AlignedResize(name="up", **options)(*([image] if options else [image, partner]))
    arrays = [noise((3, 5)), noise((6, 7), channels=2)]
    up = reloaded(keras.Model([image, partner], y), arrays).get_layer("up")
    assert (up.size, up.scale) == (options.get("size"), options.get("scale"))


# Refused


@pytest.mark.parametrize(
    "options",
    [
        {"size": (4, 4), "scale": 2},
        {"size": (0, 4)},
        {"size": (4.5, 4)},
        {"size": (4,)},
        {"size": (4, 4, 3)},
        {"scale": 0},
        {"scale": -1},
        {"scale": 1.5},
    ],
)
def test_sizes_that_do_not_fit_are_refused(options):
    with pytest.raises(ValueError, match=r"size=.*scale="):
        AlignedResize(**options)


def test_a_call_that_names_no_size_is_refused():
    with pytest.raises(ValueError, match="the features alone"):
        AlignedResize()(noise((3, 5)))
