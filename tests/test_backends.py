"""The models under every backend: build, predict, CAMs, one training step."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
CODE = """
import sys
import numpy as np
if {blocked}:
    sys.modules["tensorflow"] = None  # nothing here needs it
import warnings
import keras
import kerasloc
from kerasloc import FullModel, HalfModel
from kerasloc.cams import METHODS
from kerasloc.models.hrcam import add_alignment

warnings.filterwarnings("ignore", "Nothing speaks")

assert keras.backend.backend() == "{backend}"
keras.utils.set_random_seed(0)
sizes = dict(growth=4, initial_filters=8, layers_per_block=1, blocks=2)
x = np.random.default_rng(0).random((4, 16, 16, 3)).astype("float32")
y = np.eye(2, dtype="float32")[[0, 1, 0, 1]]

half = HalfModel(num_classes=2, im_size=16, **sizes)
trainer = keras.Model(half.model.input, half.model.output["logits"])
loss = keras.losses.CategoricalCrossentropy(from_logits=True)
trainer.compile("sgd", loss, jit_compile={jit})
before = trainer.get_weights()
assert np.isfinite(trainer.train_on_batch(x, y))
assert any(not np.array_equal(a, b) for a, b in zip(before, trainer.get_weights()))
cam, preds = half.generate_cams(x)
assert cam.shape == (4, 4, 4) and preds.shape == (4,)

full = FullModel(num_classes=2, im_size=16, **sizes)
aligned = add_alignment(full.model)
names = ("reconstruction", "alignment")
trainer = keras.Model(full.model.input, {{n: aligned.output[n] for n in names}})
trainer.compile("sgd", {{n: "mse" for n in names}}, jit_compile={jit})
low = np.zeros(aligned.output["alignment"].shape[1:])
targets = dict(reconstruction=x, alignment=np.stack([low] * 4))
assert np.all(np.isfinite(trainer.train_on_batch(x, targets)))
high, low, preds = full.generate_cams(x[0])
assert high.shape == (16, 16) and low.shape == (4, 4) and type(preds) is int
assert full.refine(x[0])["merged"].shape == (16, 16)
full.save("run")
np.testing.assert_allclose(FullModel("run").logits(x), full.logits(x), atol=1e-5)

inner = keras.Sequential([
    keras.Input((16, 16, 3)), keras.layers.Conv2D(4, 3, activation="relu")
])
z = keras.layers.GlobalAveragePooling2D()(inner(image := keras.Input((16, 16, 3))))
other = keras.Model(image, keras.layers.Dense(2, activation="softmax")(z))
kernel = np.asarray(other.layers[-1].get_weights()[0])
features = inner.predict_on_batch(x)  # (4, 14, 14, 4)
expected = np.maximum(features @ kernel / 14**2, 0)
for method in METHODS:
    options = dict(classes="all", size=14, normalize=False)
    maps = kerasloc.cam(other, x, method, **options)
    assert maps.shape == (4, 14, 14, 2) and np.isfinite(maps).all(), method
    if method in ("gradcam", "hirescam"):
        np.testing.assert_allclose(maps, expected, atol=1e-6)

import threading
from keras import layers, ops

def classifier(policy, end):
    keras.config.set_dtype_policy(policy)
    image = keras.Input((16, 16, 3))
    y = layers.Conv2D(4, 3, activation="relu")(image)
    model = keras.Model(image, end(layers.GlobalAveragePooling2D()(y)))
    keras.config.set_dtype_policy("float32")
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(size=w.shape) for w in model.weights])
    return model

def both(z):
    p = layers.Dense(1, "sigmoid")(z)
    return layers.Concatenate()([1 - p, p])

def explain(index):
    barrier.wait()
    results[index] = kerasloc.cam(new, x, classes=1)

expected = kerasloc.cam(classifier("float32", layers.Dense(1)), x, classes=0)
half = kerasloc.cam(classifier("mixed_float16", both), x, classes=1)
np.testing.assert_allclose(half, expected, atol=1e-2)
new, barrier, results = classifier("float32", both), threading.Barrier(4), [None] * 4
config, before = new.get_config(), new.predict_on_batch(x)
threads = [threading.Thread(target=explain, args=(i,)) for i in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
np.testing.assert_allclose(results, [expected] * 4, atol=1e-5)
np.testing.assert_array_equal(new.predict_on_batch(x), before)
assert new.get_config() == config
print("passed")
"""

# The networks over a ResNet, and the one layer with a way of its own on TensorFlow.
NETWORKS = """
import sys
import numpy as np
if {blocked}:
    sys.modules["tensorflow"] = None  # nothing here needs it
import keras
from kerasloc.layers import AlignedResize
from kerasloc.models.ham import objective_terms
from kerasloc.models import families

assert keras.backend.backend() == "{backend}"
keras.utils.set_random_seed(0)
rows = np.array([[0.0, 2.0, 4.0], [6.0, 8.0, 10.0]], "float32")[None, :, :, None]
wide = [[0, 1, 2, 3, 4], [3, 4, 5, 6, 7], [6, 7, 8, 9, 10]]
resized = keras.ops.convert_to_numpy(AlignedResize(size=(3, 5))(rows))
np.testing.assert_allclose(resized[0, :, :, 0], wide, atol=1e-5)

x = np.random.default_rng(0).standard_normal((2, 32, 32, 1)).astype("float32")
y = np.eye(2, dtype="float32")
model = families.get("ham").load("build")((32, 32, 1), 2, "resnet18")
outputs = model.predict(x, verbose=0)
assert outputs["refined_maps"].shape == (2, 32, 32, 2)
terms = objective_terms(outputs, y, np.ones((2, 32, 32, 2)), y, np.ones(2))
assert all(np.isfinite(float(value)) for value in terms.values())
for name in ("pan", "pylon"):
    model = families.get(name).load("build")((32, 32, 1), 2, "resnet18")
    outputs = model.predict(x, verbose=0)
    assert outputs["maps"].shape == (2, 8, 8, 2)
    assert np.isfinite(outputs["maps"]).all()
    highest = outputs["maps"].max(axis=(1, 2))
    np.testing.assert_allclose(outputs["logits"], highest, rtol=1e-5)
trainer = keras.Model(model.input, model.output["logits"])
loss = keras.losses.BinaryCrossentropy(from_logits=True)
trainer.compile("sgd", loss, jit_compile={jit})
before = model.get_layer("conv1").get_weights()[0]
assert np.isfinite(trainer.train_on_batch(x, y))
assert np.any(model.get_layer("conv1").get_weights()[0] != before)
print("passed")
"""

# The published maps; TensorFlow's are in tests/cams.
MAPS = f"""
import sys
import warnings
import numpy as np
sys.path.insert(0, {str(pathlib.Path(__file__).parent)!r})
if {{blocked}}:
    sys.modules["tensorflow"] = None  # nothing here needs it
import keras
from conftest import CamGolden
from kerasloc.cams import METHODS

warnings.filterwarnings("ignore", "Nothing speaks")
assert keras.backend.backend() == "{{backend}}"
golden = CamGolden()
for pooling, number in (("max", 1), ("avg", 2)):
    model = golden.build(pooling)
    for method in METHODS:
        if method in ("cam", "scorecam"):
            continue  # none is published; a prediction for each of 512 channels
        errors = golden.errors(model, pooling, method, number)
        assert errors.max() < 1e-3, (pooling, method, errors)
print("passed")
"""
CODES = {"hrcam": CODE, "networks": NETWORKS, "maps": MAPS}
PROGRAMS = [
    pytest.param(CODE, "tensorflow", id="hrcam", marks=pytest.mark.half_precision),
    pytest.param(NETWORKS, "tensorflow", id="networks"),
    *[
        pytest.param(code, name, id=f"{key}-{name}", marks=pytest.mark.extras)
        for key, code in CODES.items()
        for name in ("jax", "torch")
    ],
]


def run(code, backend, folder):
    """Runs code with a backend: in a process of its own unless it is this one's."""
    if backend == keras.backend.backend():
        exec(compile(code, "code", "exec"), {})
        return
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": backend},
        check=False,
    )
    assert "passed" in done.stdout, done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "backend"), PROGRAMS)
def test_models_build_predict_draw_and_train(
    code, backend, tmp_path, monkeypatch, request
):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed: pip install {backend}")
    monkeypatch.chdir(tmp_path)
    own = backend == "tensorflow"
    if backend == keras.backend.backend():
        request.getfixturevalue("eager")  # other tests have TensorFlow's graphs
    # XLA takes long for a single step, and TensorFlow trains without it on a CPU
    jit = False if own else "'auto'"
    run(code.format(backend=backend, blocked=not own, jit=jit), backend, tmp_path)
