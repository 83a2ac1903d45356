"""Models that are pickled, and forked processes, in which TensorFlow would hang."""

import copy
import os
import pathlib
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from kerasloc import cams, localizers
from kerasloc.processes import check_process, is_unsafe_fork

ROOT = pathlib.Path(__file__).resolve().parents[1]
OPTIONS = {
    "half": {"growth": 4, "layers_per_block": 1},
    "full": {"growth": 4, "layers_per_block": 1},
    "explainer": {"classifier": "vgg"},
    "ham": {"backbone": "resnet18", "downsampling": 32},
}
COPIES = {"pickle": lambda value: pickle.loads(pickle.dumps(value))}
COPIES["deepcopy"] = copy.deepcopy


def tiny(family):
    options = OPTIONS.get(family, {"backbone": "resnet18"})
    names = ("nodule", "mass")
    wrapper = localizers.wrappers()[family]
    return wrapper(class_names=names, im_size=32, thresholds=(0.2, 0.7), **options)


def classifier(layer=None, activation="softmax"):
    image = keras.Input((6, 6, 1))
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(image)
    x = layers.GlobalAveragePooling2D()(x if layer is None else layer(x))
    return keras.Model(image, layers.Dense(3, activation)(x))


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(0).random((2, 32, 32, 3), np.float32)


# Wrappers


@pytest.mark.parametrize("family", ["half", "full", "baseline", "ham", "explainer"])
def test_wrappers_pickle_with_the_same_results(family, x):
    wrapper = tiny(family)
    again = pickle.loads(pickle.dumps(wrapper))
    assert (type(again), again.config) == (type(wrapper), wrapper.config)
    expected, outputs = wrapper.forward(x), again.forward(x)
    for name in expected:
        np.testing.assert_array_equal(outputs[name], expected[name])
    np.testing.assert_array_equal(again.maps(x, "mass"), wrapper.maps(x, "mass"))


@pytest.mark.parametrize("kind", COPIES)
def test_copies_need_no_run_folder_and_keep_what_a_user_has_set(kind, tmp_path, x):
    tiny("half").save(tmp_path / "run")
    wrapper = localizers.load(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "elsewhere")
    wrapper.note, wrapper._hidden, wrapper.cam_layer = "mine", 5, "stem_conv"
    again = COPIES[kind](wrapper)
    assert (again.note, again._hidden, again.cam_layer) == ("mine", 5, "stem_conv")
    np.testing.assert_array_equal(again.low_res_cam(x), wrapper.low_res_cam(x))
    again.model.set_weights([0 * array for array in again.model.get_weights()])
    assert wrapper.logits(x).any()  # nothing is shared


@pytest.mark.parametrize("precision", [None, "mixed_float16"])
def test_optimized_wrappers_pickle(precision, x):
    wrapper = tiny("half").optimize(precision)
    again = pickle.loads(pickle.dumps(wrapper))
    policies = [layer.dtype_policy.name for layer in wrapper.model.layers]
    assert [layer.dtype_policy.name for layer in again.model.layers] == policies
    assert precision is None or precision in policies
    np.testing.assert_array_equal(again.logits(x), wrapper.logits(x))


def test_an_unknown_attribute_of_a_wrapper_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"HalfModel.*heat_maps"):
        tiny("half").heat_maps  # noqa: B018


def test_a_used_wrapper_pickles_without_its_cut():
    images = np.random.default_rng(0).random((1, 64, 64, 3), np.float32)
    wrapper = localizers.Baseline(num_classes=2, im_size=64, backbone="resnet18")
    maps = wrapper.low_res_cam(images)
    again = pickle.loads(pickle.dumps(wrapper)).low_res_cam(images)
    np.testing.assert_allclose(again, maps, atol=1e-5 * np.ptp(maps))


# Explainers


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("method", cams.METHODS)
def test_explainers_pickle_with_the_same_maps(method, kind):
    explainer = cams.METHODS[method](classifier(), "conv")
    explainer.feature_values = 7  # set by a user
    images = np.random.default_rng(0).random((2, 6, 6, 1), np.float32)
    maps = explainer.maps(images, classes="all")
    again = COPIES[kind](explainer)
    assert (repr(again), again.feature_values) == (repr(explainer), 7)
    np.testing.assert_allclose(again.maps(images, classes="all"), maps, rtol=1e-5)


def test_an_explainer_of_a_wrapper_pickles_with_it(x):
    explainer = cams.GradCAM(tiny("explainer"))
    again = pickle.loads(pickle.dumps(explainer))
    maps = explainer.maps(x, "mass")
    np.testing.assert_allclose(again.maps(x, "mass"), maps, atol=1e-5 * np.ptp(maps))


def test_a_compiled_model_pickles_without_its_loss():
    model = classifier()
    model.compile(loss=lambda y_true, y_pred: y_true - y_pred)
    with pytest.warns(UserWarning, match="lambda"):  # of Keras
        pickled = pickle.dumps(cams.GradCAM(model))
    assert repr(pickle.loads(pickled)) == repr(cams.GradCAM(model))


class Unregistered(layers.Layer):
    def call(self, x):
        return 2 * x


class WithoutConfig(Unregistered):
    def __init__(self, value, name=None):
        super().__init__(name=name)
        self.value = value


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (Unregistered(), "Unregistered"),
        (WithoutConfig(object()), "WithoutConfig"),
        (layers.Lambda(lambda x: np.float32(2) * x), "Lambda"),
        (layers.Activation(lambda x: 2 * x), "activation"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*lambda")
def test_models_that_do_not_pickle_name_the_layer_and_the_way_out(layer, named):
    explainer = cams.GradCAM(classifier(layer, None), "conv")
    with pytest.raises(ValueError, match=f"(?s){named}.*register_keras_serializable"):
        pickle.dumps(explainer)


def test_a_lambda_layer_that_keras_can_write_pickles():
    explainer = cams.GradCAM(classifier(layers.Lambda(lambda x: 2 * x)), "conv")
    images = np.ones((1, 6, 6, 1), np.float32)
    maps = pickle.loads(pickle.dumps(explainer)).maps(images, 1)
    np.testing.assert_allclose(maps, explainer.maps(images, 1), rtol=1e-5)


@pytest.mark.parametrize("make", [lambda cut: cut, lambda cut: cut.gradient])
def test_parts_of_an_explainer_say_what_to_pickle(make):
    with pytest.raises(TypeError, match="GradCAM"):
        pickle.dumps(make(cams.cut(classifier())))


# Processes

FORKS = """
import multiprocessing, os, signal, sys
import numpy as np, keras, tensorflow

def outcome(call):
    pid = os.fork()
    if not pid:
        signal.alarm(60)
        try:
            call()
        except RuntimeError as error:
            os._exit(3 if "spawn" in str(error) else 4)
        os._exit(0)
    return os.waitpid(pid, 0)[1] >> 8 or "hang or 0"

def classifier():
    layers = [keras.Input((6, 6, 1)), keras.layers.Conv2D(2, 3, name="conv")]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(2)]
    return keras.Sequential(layers)

def explain(model=None):
    import kerasloc
    model = model or classifier()
    kerasloc.cam(model, np.ones((1, 6, 6, 1)), "gradcam", "conv", normalize=False)

"""
BEFORE = """
assert outcome(lambda: (explain(), os._exit(7))) == 7  # TensorFlow has not begun
import kerasloc
assert outcome(lambda: (explain(), os._exit(7))) == 7
"""
AFTER = """
model = classifier()
model.predict_on_batch(np.ones((1, 6, 6, 1)))
if sys.platform == "linux":  # the package is imported in the fork only
    assert outcome(lambda: explain(model)) == 3
import kerasloc
from kerasloc import cams, data, losses
assert outcome(lambda: explain(model)) == 3
assert outcome(explain) == 3
assert outcome(lambda: os._exit(outcome(explain))) == 3
explainer = cams.GradCAM(model, "conv")
assert outcome(lambda: explainer(np.ones((1, 6, 6, 1)))) == 3
options = dict(num_classes=2, im_size=32, growth=4, layers_per_block=1, channels=1)
wrapper = kerasloc.FullModel(**options)
image = np.zeros((32, 32), np.uint8)
for call in (wrapper.predict, wrapper.maps, wrapper.generate_cams, wrapper.refine):
    assert outcome(lambda: call(image)) == 3, call
assert outcome(wrapper.optimize) == 3
assert outcome(lambda: kerasloc.FullModel(**options)) == 3
loss = losses.MaskedBinaryCrossentropy()
assert outcome(lambda: loss(np.ones((1, 2)), np.ones((1, 2)))) == 3
assert outcome(lambda: data.load_image("no.png")) == 3
explain(model)  # this process goes on
with multiprocessing.get_context("fork").Pool(1) as pool:
    for call in (wrapper.predict, explainer):
        try:
            pool.apply_async(call, [image]).get(timeout=60)
        except RuntimeError as error:
            assert "spawn" in str(error)
        else:
            raise SystemExit("no error")
"""
SPAWN = """
import multiprocessing
import numpy as np
import kerasloc
from kerasloc.cams import GradCAM

if __name__ == "__main__":
    options = dict(growth=4, layers_per_block=1, num_classes=2, im_size=32)
    wrapper = kerasloc.HalfModel(**options)
    image = np.random.default_rng(0).random((32, 32, 3))
    calls = [wrapper.logits, GradCAM(wrapper).maps]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for call in calls:
            value = pool.apply_async(call, [image]).get(timeout=120)
            np.testing.assert_allclose(value, call(image), rtol=1e-4, atol=1e-6)
"""


def run(code, tmp_path):
    path = tmp_path / "program.py"
    path.write_text(code)
    done = subprocess.run(
        [sys.executable, path],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")


@forks
def test_a_fork_before_tensorflow_begins_computes(tmp_path):
    run(FORKS + BEFORE, tmp_path)


@forks
def test_a_fork_that_would_hang_raises(tmp_path):
    run(FORKS + AFTER, tmp_path)


def test_spawned_processes_compute_the_same(tmp_path):
    run(SPAWN, tmp_path)


def test_this_process_and_other_backends_are_fine():
    check_process()
    assert not is_unsafe_fork("jax")
