"""Conversion of published weights, and the comparison of outputs."""

import dataclasses
import json
import types

import keras
import numpy as np
import pytest

import kerasloc
from kerasloc.models import families

STATE = {"net.out.weight": (2, 1, 1, 1), "net.out.bias": (2,)}


@pytest.fixture(scope="module")
def tool(load_tool):
    return load_tool("convert_weights")


class Tiny:
    """A wrapper of one convolution."""

    def __init__(self, *, num_classes, channels, im_size, **options):
        self.options = options
        rows, cols = np.broadcast_to(im_size, 2).tolist()
        image = keras.Input((rows, cols, channels))
        maps = keras.layers.Conv2D(num_classes, 1, name="out")(image)
        logits = keras.layers.GlobalMaxPooling2D(name="logits")(maps)
        self.model = keras.Model(image, {"logits": logits, "maps": maps})

    def save(self, folder):
        folder.mkdir()
        self.model.save_weights(folder / "model.weights.h5")


@pytest.fixture
def files(tmp_path):
    """Weights, inputs and correct outputs of a registered tiny network."""
    rng = np.random.default_rng(0)
    state = {name: rng.standard_normal(shape) for name, shape in STATE.items()}
    images = rng.standard_normal((2, 1, 4, 6))  # NCHW
    maps = np.einsum("nirc,oi->norc", images, state["net.out.weight"][..., 0, 0])
    maps += state["net.out.bias"][:, None, None]
    files = types.SimpleNamespace(
        source=tmp_path / "w.safetensors",
        inputs=tmp_path / "in.npy",
        reference=tmp_path / "out.npz",
        output=tmp_path / "out",
        maps=maps,
    )
    write(files.source, state)
    np.save(files.inputs, images)
    np.savez(files.reference, pred=maps.max((2, 3)), pred_seg=maps)
    record = dataclasses.replace(families.get("baseline"), localizer=Tiny)
    with families.registered(record):
        yield files


def write(path, state):
    """A safetensors file of float64 arrays."""
    header, data = {}, b""
    for name, array in state.items():
        span = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F64", "shape": array.shape, "data_offsets": span}
        data += array.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def words(files, *more, compare=True):
    line = ["--family", "baseline", "--num-classes", "2", "--im-size", "4x6"]
    if compare:
        line += ["--inputs", str(files.inputs), "--reference", str(files.reference)]
    return [*line, *more, str(files.source), "--output", str(files.output)]


def test_equal_outputs_agree_and_a_folder_is_written(tool, files, capsys):
    tool.main(words(files))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 of 2 arrays matched"
    assert lines[1].startswith("logits (2, 2): largest error ")
    assert lines[2].startswith("maps (2, 4, 6, 2): largest error ")
    assert lines[2].endswith("of the standard deviation, agrees")
    assert lines[3:] == ["agrees", f"written to {files.output}"]
    assert (files.output / "model.weights.h5").is_file()


def test_a_weight_file_holds_the_published_arrays(tool, files):
    files.output = files.output / "net.weights.h5"
    tool.main(words(files, compare=False))
    wrapper = Tiny(num_classes=2, channels=1, im_size=(4, 6))
    wrapper.model.load_weights(files.output)
    images = np.load(files.inputs).transpose(0, 2, 3, 1)
    maps = np.asarray(wrapper.model(images)["maps"]).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(maps, files.maps, rtol=1e-5, atol=1e-6)


def test_outputs_with_an_error_differ_and_nothing_is_written(tool, files, capsys):
    wrong = files.maps.copy()
    wrong[1, 0, 2, 3] += 2e-3
    np.savez(files.reference, logits=wrong.max((2, 3)), maps=wrong)
    with pytest.raises(SystemExit, match="1"):
        tool.main(words(files))
    lines = capsys.readouterr().out.splitlines()
    error = float(lines[2].split("largest error ")[1].split()[0])
    assert error == pytest.approx(2e-3 / wrong.std(), rel=0.01)
    assert lines[2].endswith("differs")
    assert lines[-1] == "differs; nothing was written"
    assert not files.output.exists()


def test_nan_differs(tool, files):
    model = Tiny(num_classes=2, channels=1, im_size=(4, 6)).model
    images = np.load(files.inputs)
    lines, agree = tool.compare(model, images, {"logits": np.full((2, 2), np.nan)})
    assert not agree
    assert "differs" in lines[0]


def test_references_that_unpack_to_too_much_are_named(tool, files, usage_error):
    np.savez_compressed(files.reference, logits=np.zeros(10**7))
    error = usage_error(tool, words(files))
    assert f"{files.reference}, a damaged file (80000" in error
    files.reference.write_bytes(files.reference.read_bytes()[:99])
    assert f"{files.reference}, a damaged file" in usage_error(tool, words(files))


def test_options_reach_the_network(tool, files):
    more = ["--backbone", "resnet18", "--option", "n_up=2", "--option", "norm=x"]
    options = tool.parse(words(files, *more, "--option", "use_pa=false"))[1]
    expected = {"backbone": "resnet18", "n_up": 2, "norm": "x", "use_pa": False}
    assert tool.build(options).options == expected


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--family", "vgg"], "baseline, deeplabv3plus, explainer"),
        (["--option", "n_up"], "--option NAME=VALUE. Received: 'n_up'"),
        (["--num-classes", "3"], "net.out.bias (2,) for (3,)"),
        (["--channels", "3"], "net.out.weight (2, 1, 1, 1) for (2, 3, 1, 1)"),
        (["--im-size", "6x4"], "input of shape (None, 6, 4, 1)"),
        (["--inputs", "nowhere.npy"], "nowhere.npy"),
    ],
)
def test_wrong_arguments_are_an_error(tool, files, usage_error, more, message):
    assert message in usage_error(tool, words(files, *more))
    assert not files.output.exists()


def test_inputs_need_a_reference_with_outputs_of_the_network(tool, files, usage_error):
    line = words(files, "--inputs", "in.npy", compare=False)
    assert "Received: in.npy and None" in usage_error(tool, line)
    np.savez(files.reference, attention=files.maps)
    assert "Received: attention" in usage_error(tool, words(files))


@pytest.mark.slow
def test_the_published_network_converts_and_agrees(
    tool, network_golden, tmp_path, capsys
):
    golden = network_golden("baseline_max")
    paths = [tmp_path / name for name in ("w.safetensors", "in.npy", "out.npz")]
    state = {n: a.astype("float64") for n, a in golden.arrays().items()}
    write(paths[0], state)
    np.save(paths[1], golden.images)
    np.savez(paths[2], pred=golden.logits)
    line = f"--family baseline --backbone resnet18 --num-classes 4 {paths[0]} --output "
    line += f"{tmp_path / 'out'} --inputs {paths[1]} --reference {paths[2]}"
    tool.main(line.split())
    assert f"{len(state)} of {len(state)} arrays matched" in capsys.readouterr().out
    wrapper = kerasloc.Baseline(tmp_path / "out")
    assert (wrapper.config.im_size, wrapper.config.channels) == ((256, 256), 1)
