"""Transformers: tokens on the grid of patches, the layer where patches matter last."""

import re

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasloc
from kerasloc.cams import CAM, METHODS, GradCAM, HiResCAM

SIDE, WIDTH = 4, 8  # of a patch, of a token
pytestmark = pytest.mark.usefixtures("op_by_op")


class ClassToken(layers.Layer):
    """A class token, before or behind the tokens of patches."""

    def __init__(self, last=False, tokens=1):
        super().__init__()
        self.last, self.tokens = last, tokens

    def build(self, shape):
        self.token = self.add_weight(shape=(1, self.tokens, shape[-1]), name="token")

    def call(self, x):
        token = ops.repeat(self.token, ops.shape(x)[0], axis=0)
        return ops.concatenate([x, token] if self.last else [token, x], axis=1)


class Embedding(layers.Layer):
    """Patches to tokens in a custom layer; they may overlap."""

    def __init__(self, side=SIDE):
        super().__init__()
        self.convolution = layers.Conv2D(WIDTH, side, SIDE, padding="same")

    def build(self, shape):
        self.convolution.build(shape)

    def call(self, x):
        y = self.convolution(x)
        return ops.reshape(y, (-1, y.shape[1] * y.shape[2], WIDTH))


class Mixing(layers.Layer):
    """Tokens that are not of patches: all see the whole image."""

    def __init__(self, tokens):
        super().__init__()
        self.dense = layers.Dense(tokens * WIDTH)
        self.tokens = tokens

    def build(self, shape):
        self.dense.build((None, int(np.prod(shape[1:]))))

    def call(self, x):
        y = self.dense(ops.reshape(x, (-1, int(np.prod(x.shape[1:])))))
        return ops.reshape(y, (-1, self.tokens, WIDTH))


def patches(image):
    y = layers.Conv2D(WIDTH, SIDE, SIDE, name="patches")(image)
    return layers.Reshape((-1, WIDTH))(y)


def columns_first(image):
    y = layers.Conv2D(WIDTH, SIDE, SIDE, name="patches")(image)
    return layers.Reshape((-1, WIDTH))(layers.Permute((2, 1, 3))(y))


def channels_first(image):
    y = layers.Conv2D(WIDTH, SIDE, SIDE, name="patches")(image)
    y = layers.Reshape((WIDTH, -1))(layers.Permute((3, 1, 2))(y))
    return layers.Permute((2, 1))(y)


def slices(image):
    rows, cols = (side // SIDE for side in image.shape[1:3])
    y = ops.reshape(image, (-1, rows, SIDE, cols, SIDE, 1))
    y = ops.transpose(y, (0, 1, 3, 2, 4, 5))
    return layers.Dense(WIDTH)(ops.reshape(y, (-1, rows * cols, SIDE**2)))


def block(y, number):
    normed = layers.LayerNormalization(name=f"before{number}")(y)
    attention = layers.MultiHeadAttention(2, WIDTH // 2, name=f"attention{number}")
    y = layers.Add()([y, attention(normed, normed)])
    normed = layers.LayerNormalization(name=f"behind{number}")(y)
    return layers.Add()([y, layers.Dense(WIDTH, "gelu")(layers.Dropout(0.1)(normed))])


READ = {
    "first": lambda y: y[:, 0],
    "last": lambda y: y[:, -1],
    "split": lambda y: ops.split(y, [1], axis=1)[0][:, 0],
    "split_last": lambda y: ops.split(y, [y.shape[1] - 1], axis=1)[1][:, 0],
    "mean": layers.GlobalAveragePooling1D(),
    "flat": layers.Flatten(),
}


def vit(embed=patches, token=None, read="mean", size=(12, 20), depth=2):
    keras.utils.set_random_seed(0)
    image = keras.Input((*size, 1), name="image")
    y = embed(image)
    y = token(y) if token else y
    for number in range(depth):
        y = block(y, number)
    y = READ[read](layers.LayerNormalization(name="end")(y))
    return keras.Model(image, layers.Dense(2, "softmax", name="out")(y))


def constructed(model):
    """Weights with which a block attends to bright patches, and reports them."""
    for layer in model.layers:
        if not layer.weights or isinstance(layer, layers.LayerNormalization):
            continue
        weights = [np.zeros_like(array) for array in layer.get_weights()]
        if isinstance(layer, layers.MultiHeadAttention):
            weights[1][:, 0] = 3.0  # bias of the query: bright
            for kernel in weights[2], weights[4]:  # key and value
                kernel[0, :, 0] = 1
            weights[6][:, 0, 0] = 0.5
        elif layer.name == "patches":
            weights[0][..., 0] = 1 / SIDE**2
        elif layer.name == "out":
            weights[0][0] = [-1, 1]
        layer.set_weights(weights)
    return model


def objects(size=(12, 20)):
    """An image per patch, in which it is bright."""
    rows, cols = size[0] // SIDE, size[1] // SIDE
    images = np.zeros((rows * cols, rows, cols, 1), np.float32)
    images[np.arange(rows * cols), *np.divmod(np.arange(rows * cols), cols)] = 1
    return images.repeat(SIDE, axis=1).repeat(SIDE, axis=2)


TOKENS = [
    (patches, None, "mean"),
    (patches, ClassToken(), "first"),
    (patches, ClassToken(last=True), "last"),
    (patches, ClassToken(tokens=3), "first"),
    (columns_first, ClassToken(), "first"),
    (channels_first, ClassToken(), "first"),
]


@pytest.mark.parametrize(("embed", "token", "read"), TOKENS)
def test_the_map_is_at_the_patch_that_decides(embed, token, read):
    model = constructed(vit(embed, token, read, depth=1))
    images = objects()
    assert (np.asarray(model(images))[:, 1] > 0.6).all()
    for method in ("gradcam", "hirescam", "layercam"):
        maps = METHODS[method](model).maps(images, 1)
        assert maps.shape == (15, 3, 5)
        peaks = maps.reshape(15, -1).argmax(axis=1)
        np.testing.assert_array_equal(peaks, np.arange(15))
    heat = kerasloc.cam(model, images, classes=1).reshape(15, -1)
    assert images.reshape(15, -1)[np.arange(15), heat.argmax(axis=1)].all()


@pytest.mark.parametrize(
    ("token", "read", "layer"),
    [
        (None, "mean", "end"),
        (None, "flat", "end"),
        (ClassToken(), "mean", "end"),
        (ClassToken(), "first", "before1"),
        (ClassToken(last=True), "last", "before1"),
        (ClassToken(), "split", "before1"),
        (ClassToken(last=True), "split_last", "before1"),
    ],
)
def test_the_default_is_the_last_layer_where_patches_matter(token, read, layer):
    explainer = GradCAM(vit(token=token, read=read))
    assert repr(explainer) == f"GradCAM(layer {layer!r} (3, 5, {WIDTH}), 2 classes)"
    assert np.ptp(explainer.maps(objects(), 1), axis=(1, 2)).all()


@pytest.mark.parametrize("embed", [patches, slices, Embedding(), Embedding(side=7)])
def test_patches_are_recognized_however_they_are_made(embed):
    assert "(3, 5, 8)" in repr(GradCAM(vit(embed)))
    assert "(3, 5, 8)" in repr(GradCAM(vit(embed, ClassToken(), "first")))


def test_tokens_are_laid_on_the_grid_of_their_patches():
    """Features times gradients of the tokens, computed without the package."""
    model, x = vit(token=ClassToken(), read="first"), objects()
    taps = keras.Model(model.inputs[0], model.get_layer("before1").output)
    tokens = np.asarray(taps(x))
    features = HiResCAM(model)._cut.encode(x)
    np.testing.assert_array_equal(features[0].reshape(15, 15, WIDTH), tokens[:, 1:])
    np.testing.assert_array_equal(features[1], tokens[:, :1])
    logits = HiResCAM(model)._logits(features)
    expected = np.log(np.asarray(model(x)))
    np.testing.assert_allclose(np.ptp(logits - expected, axis=1), 0, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_all_methods_take_tokens(explain, method):
    model = vit(token=ClassToken())
    maps = explain(model, objects()[:3], method, classes="all")
    assert maps.shape == (3, 12, 20, 2)
    layer = "behind0"
    if method == "cam":
        with pytest.raises(ValueError, match="linear head"):
            kerasloc.cam(model, objects(), method, layer)
    else:
        assert explain(model, objects()[:3], method, layer).shape == (3, 12, 20)


def test_cam_of_tokens_is_that_of_their_kernel():
    model, x = vit(), objects()
    taps = keras.Model(model.inputs[0], model.get_layer("end").output)
    expected = np.asarray(taps(x)) @ model.get_weights()[-2]
    maps = CAM(model).maps(x, "all")
    np.testing.assert_allclose(maps.reshape(15, 15, 2), expected, atol=1e-5)


def test_a_convolution_before_the_tokens_can_be_named():
    model = vit()
    assert repr(GradCAM(model, "patches")).startswith(
        "GradCAM(layer 'patches' (3, 5, 8)"
    )
    shape = re.escape("'out', whose output is (None, 2)")
    with pytest.raises(ValueError, match=f"{shape}.*one of: patches, .*before1.*end"):
        GradCAM(model, "out")


def test_a_network_of_convolutions_and_a_transformer_is_a_pair_of_branches():
    image = keras.Input((12, 20, 1))
    y = block(ClassToken()(patches(image)), 0)
    z = layers.Conv2D(3, 3, name="conv")(image)
    joined = layers.Concatenate()([y[:, 0], layers.GlobalAveragePooling2D()(z)])
    model = keras.Model(image, layers.Dense(2)(joined))
    with pytest.raises(ValueError, match=r"before0 \(.*conv \(|conv \(.*before0 \("):
        kerasloc.cam(model, objects())
    assert GradCAM(model, ["before0", "conv"]).maps(objects()).shape == (15, 10, 18)


def test_convolutions_behind_tokens_are_the_default_again():
    image = keras.Input((12, 20, 1))
    y = layers.Reshape((3, 5, WIDTH))(block(patches(image), 0))
    y = layers.Conv2D(4, 3, name="neck", padding="same")(y)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalMaxPooling2D()(y)))
    assert repr(GradCAM(model)).startswith("GradCAM(layer 'neck' (3, 5, 4)")


@pytest.mark.parametrize("size", [(12, 20), (16, 16)])
def test_columns_as_tokens_are_no_patches(size):
    """As of networks that read text: tokens are columns of the features."""
    image = keras.Input((*size, 1))
    y = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    y = layers.Reshape((size[1], size[0] * 4))(layers.Permute((2, 1, 3))(y))
    model = keras.Model(image, layers.Dense(2)(layers.LSTM(3)(y)))
    assert repr(GradCAM(model)).startswith("GradCAM(layer 'conv'")


# Tokens in an unknown order


@pytest.mark.parametrize("tokens", [16, 17, 15])
def test_tokens_without_patches_are_refused_with_the_ways_out(tokens):
    model = vit(Mixing(tokens), size=(16, 16))
    ways = r"reshape='tokens'.*reshape=\(rows, cols\).*layer"
    for layer in (None, "end"):
        with pytest.raises(ValueError, match=rf"reshape=None.*\({tokens}, 8\).*{ways}"):
            GradCAM(model, layer)


@pytest.mark.parametrize(
    ("tokens", "size", "grid"),
    [(16, (16, 16), (4, 4)), (17, (16, 16), (4, 4)), (32, (16, 32), (4, 8))],
)
def test_tokens_are_taken_in_reading_order_when_asked_for(tokens, size, grid):
    model = vit(Mixing(tokens), size=size)
    x = np.random.default_rng(0).random((2, *size, 1), "float32")
    maps = HiResCAM(model, reshape="tokens").maps(x, 1)
    assert maps.shape == (2, *grid)
    halves = HiResCAM(model, "end", reshape=grid)._cut
    taps = keras.Model(model.inputs[0], model.get_layer("end").output)
    laid = np.asarray(taps(x))[:, -np.prod(grid) :].reshape(2, *grid, WIDTH)
    np.testing.assert_allclose(halves.encode(x)[0], laid, atol=1e-6)
    heat = kerasloc.cam(model, x, classes=1, reshape=grid)
    np.testing.assert_array_equal(
        heat, kerasloc.cam(model, x, classes=1, reshape="tokens")
    )


WRONG = [
    (vit, {"reshape": "token"}, "'token'"),
    (vit, {"reshape": 3}, "reshape=3"),
    (vit, {"reshape": (0, 3)}, r"\(0, 3\)"),
    (vit, {"reshape": (5, 3)}, r"reshape=\(5, 3\) for 'end'.*3 rows and 5"),
    (vit, {"reshape": "tokens", "layer": "patches"}, "'tokens' for 'patches'"),
    (lambda: vit(Mixing(15), size=(16, 16)), {"reshape": "tokens"}, "'tokens'.*15, 8"),
    (lambda: vit(Mixing(15), size=(16, 16)), {"reshape": (4, 4)}, r"\(4, 4\).*15, 8"),
]


@pytest.mark.parametrize(("build", "options", "message"), WRONG)
def test_a_grid_that_does_not_fit_is_refused(build, options, message):
    with pytest.raises(ValueError, match=message):
        GradCAM(build(), **options)


def test_tokens_of_images_of_any_size_are_no_silent_default():
    image = keras.Input((None, None, 1))
    y = layers.Reshape((-1, WIDTH))(layers.Conv2D(WIDTH, SIDE, SIDE, name="c")(image))
    y = layers.Add()([y, layers.MultiHeadAttention(2, 4)(y, y)])
    model = keras.Model(image, layers.Dense(2)(ops.mean(y, axis=1)))
    with pytest.raises(ValueError, match=r"\(None, 8\).*layer with rows and columns"):
        GradCAM(model)
    assert GradCAM(model, "c").maps(objects()).shape == (15, 3, 5)
