"""Subclassed models and exported ones: refused with what to do, or taken as a layer."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasloc
from kerasloc.cams import GradCAM

SHAPE = (12, 10, 2)
pytestmark = pytest.mark.usefixtures("op_by_op")


class Network(keras.Model):
    """A subclassed classifier, or its convolution alone."""

    def __init__(self, classifies=True, **options):
        super().__init__(**options)
        self.inner = layers.Conv2D(4, 3, name="inner")
        self.dense = layers.Dense(3, name="dense")
        self.classifies = classifies

    def build(self, shape):
        self.inner.build(shape)
        self.dense.build((None, 4))

    def call(self, x):
        y = self.inner(x)
        return self.dense(ops.mean(y, axis=(1, 2))) if self.classifies else y


class Classifier(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.inner, self.dense = layers.Conv2D(4, 3), layers.Dense(3)

    def build(self, shape):
        self.inner.build(shape)
        self.dense.build((None, 4))

    def call(self, x):
        return self.dense(ops.mean(self.inner(x), axis=(1, 2)))


class Encoder(layers.Layer):
    """Several layers of attention in a custom layer."""

    def __init__(self, depth, **options):
        super().__init__(**options)
        self.blocks = [layers.MultiHeadAttention(2, 4) for _ in range(depth)]

    def build(self, shape):
        for attention in self.blocks:
            attention.build(shape, shape)

    def call(self, x):
        for attention in self.blocks:
            x = x + attention(x, x)
        return x


class Overridden(keras.Model):
    def call(self, x):
        return -super().call(x)


@pytest.fixture
def image():
    keras.utils.set_random_seed(1)
    return keras.Input(SHAPE)


def head(y):
    return layers.Dense(3)(layers.GlobalAveragePooling2D()(y))


@pytest.mark.parametrize("built", [False, True])
def test_a_subclassed_model_is_opaque_and_the_way_out_works(x, image, built):
    network = Network()
    if built:
        network(x)
    with pytest.raises(
        ValueError, match=r"Network.*opaque.*keras.Model\(x, opaque.call"
    ):
        kerasloc.cam(network, x)
    model = keras.Model(image, network.call(image))
    assert GradCAM(model, "inner").maps(x, 0).shape == (4, 10, 8)
    if built:
        np.testing.assert_allclose(model(x), network(x), atol=1e-6)


def test_a_model_whose_calls_are_not_its_graph_is_opaque(x, image):
    model = Overridden(image, head(layers.Conv2D(4, 3)(image)))
    with pytest.raises(ValueError, match=r"Overridden.*opaque"):
        kerasloc.cam(model, x)


def exported(path):
    image = keras.Input(SHAPE)
    keras.Model(image, head(layers.Conv2D(4, 3)(image))).export(path, verbose=False)
    return layers.TFSMLayer(path, call_endpoint="serve", name="hidden")


def called(path):
    inner = keras.Sequential([layers.Conv2D(4, 3), layers.GlobalMaxPooling2D()])
    return layers.Lambda(lambda y: inner(y), name="hidden")  # noqa: PLW0108


HIDDEN = [lambda path: Network(name="hidden"), lambda path: Classifier(name="hidden")]


@pytest.mark.parametrize("hidden", [*HIDDEN, exported, called])
def test_an_opaque_classifier_within_a_model_is_named(x, image, hidden, tmp_path):
    layer = hidden(str(tmp_path))
    name = rf"'hidden' \({type(layer).__name__}\).*opaque.*Use"
    for before in (image, layers.Rescaling(2.0)(image)):
        with pytest.raises(ValueError, match=name):
            kerasloc.cam(keras.Model(image, layer(before)), x)
    stem = layers.Conv2D(2, 3, padding="same", name="stem")(image)
    model = keras.Model(image, layers.Softmax()(layer(stem)))
    with pytest.raises(ValueError, match=f"{name}.*layer=.*: stem"):
        kerasloc.cam(model, x)
    assert GradCAM(model, "stem").maps(x).shape == (4, 12, 10)
    with pytest.raises(ValueError, match=r"'inner'.*'hidden' is opaque.*: stem"):
        kerasloc.cam(model, x, layer="inner")


def test_an_opaque_layer_alone_is_refused(x, tmp_path):
    for layer in (exported(str(tmp_path)), Classifier()):
        with pytest.raises(TypeError, match=rf"{type(layer).__name__}.*opaque.*Use"):
            kerasloc.cam(layer, x)


def test_an_opaque_network_with_rows_and_columns_is_a_layer(x, image):
    base = Network(classifies=False, name="base")
    model = keras.Model(image, head(base(image)))
    explainer = GradCAM(model)
    assert repr(explainer).startswith("GradCAM(layer 'base' (10, 8, 4)")
    assert explainer.maps(x).shape == (4, 10, 8)
    with pytest.raises(
        ValueError, match=r"'inner'.*'base' is opaque.*Use one of: base"
    ):
        GradCAM(model, "inner")
    nested = keras.Model(image, keras.Model(image, Network(name="in")(image))(image))
    with pytest.raises(ValueError, match=r"'functional[_\d]*/in' \(Network\).*opaque"):
        GradCAM(nested)


def test_a_layer_that_pools_the_image_is_named(image):
    pool = layers.Lambda(lambda y: ops.mean(y, axis=(1, 2)), name="pool")
    with pytest.raises(ValueError, match="'pool' on the image"):
        GradCAM(keras.Model(image, layers.Dense(2)(pool(image))))


def test_heads_of_several_layers_are_not_opaque(x, image):
    class Head(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def build(self, shape):
            self.dense.build((None, shape[-1]))

        def call(self, y):
            return self.dense(ops.max(y, axis=(1, 2)))

    y = layers.Conv2D(4, 3, name="conv")(image)
    assert repr(GradCAM(keras.Model(image, Head()(y)))).startswith(
        "GradCAM(layer 'conv'"
    )


@pytest.mark.parametrize(("depth", "hides"), [(1, False), (3, True)])
def test_an_encoder_that_hides_several_attentions_is_no_default(depth, hides):
    image = keras.Input((12, 20, 1))
    y = layers.Reshape((15, 8))(layers.Conv2D(8, 4, 4, name="patches")(image))
    y = ops.pad(y, [[0, 0], [1, 0], [0, 0]])  # a class token of 0
    y = Encoder(depth, name="encoder")(y)
    model = keras.Model(image, layers.Dense(2)(y[:, 0]))
    if hides:
        with pytest.raises(
            ValueError, match=r"'encoder' \(Encoder\).*opaque.*: patches"
        ):
            GradCAM(model)
    else:
        assert "(3, 5, 8)" in repr(GradCAM(model))
    pooled = keras.Model(image, layers.Dense(2)(ops.mean(y, axis=1)))
    assert repr(GradCAM(pooled)).startswith("GradCAM(layer 'encoder' (3, 5, 8)")
