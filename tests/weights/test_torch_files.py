"""Reading of PyTorch's weight files; goldens/torch_*.pt are of PyTorch."""

import os
import pathlib
import pickle
import re
import zipfile

import numpy as np
import pytest

from kerasloc.weights import read_torch

GOLDENS = pathlib.Path(__file__).parents[1] / "goldens"
TYPES = ("float64", "float32", "float16", "bfloat16", "bool")
TYPES += ("int64", "int32", "int16", "int8", "uint8")
FILES = ("torch_zip.pt", "torch_legacy.pt")


@pytest.fixture(scope="module", params=FILES)
def arrays(request):
    return read_torch(GOLDENS / request.param)


def refusal(path):
    """The error of a refused file; it names the file."""
    with pytest.raises(ValueError, match=re.escape(str(path))) as error:
        read_torch(path)
    return str(error.value)


class Command:
    """Makes a folder when a careless reader loads it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return (os.mkdir, (str(self.target),))


# Files of PyTorch


def test_tensors_under_net_are_read_and_all_else_is_ignored(arrays):
    assert set(arrays) >= {"matrix", "turned", "part", "parameter", "bool"}
    assert not {"epoch", "step", "exp_avg"} & set(arrays)


def test_values_and_shapes_are_those_that_were_saved(arrays):
    np.testing.assert_array_equal(arrays["matrix"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(arrays["parameter"], [1.5, -2.5])
    assert arrays["scalar"].shape == ()
    assert arrays["scalar"] == 3.25
    assert arrays["empty"].shape == (0, 4)


def test_transposed_strided_and_expanded_tensors_keep_their_order(arrays):
    np.testing.assert_array_equal(arrays["turned"], np.arange(12).reshape(3, 4).T)
    part = np.arange(24).reshape(4, 6)[1:3, ::2]
    np.testing.assert_array_equal(arrays["part"], part)
    np.testing.assert_array_equal(arrays["spread"], np.full((2, 3), 7))


def test_tensors_of_one_storage_share_its_memory(arrays):
    assert np.shares_memory(arrays["turned"], arrays["part"])


@pytest.mark.parametrize("name", TYPES)
def test_every_type_is_read(arrays, name):
    kind = "float32" if name == "bfloat16" else name
    assert arrays[name].dtype == kind
    np.testing.assert_array_equal(arrays[name], np.array([0, 1, 100], kind))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.7, 0.99])
def test_a_file_that_was_cut_short_is_refused(name, share, tmp_path):
    data = (GOLDENS / name).read_bytes()
    path = tmp_path / name
    path.write_bytes(data[: int(share * len(data))])
    assert "cut short" in refusal(path)


# Files made here


def test_a_plain_state_dict_is_read(torch_writer, tmp_path):
    arrays = {"a.weight": np.ones((2, 3), "float32"), "n": np.array(7)}
    loaded = read_torch(torch_writer(tmp_path / "w.pth", arrays))
    assert set(loaded) == {"a.weight", "n"}
    np.testing.assert_array_equal(loaded["a.weight"], np.ones((2, 3)))
    assert loaded["n"] == 7


@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_that_runs_something_is_refused_and_not_run(
    legacy, archive_writer, tmp_path
):
    target, path = tmp_path / "was-run", tmp_path / "w.pt"
    content = pickle.dumps({"state_dict": {"a": Command(target)}}, 2)
    if legacy:
        path.write_bytes(content)
    else:
        archive_writer(path, content, {})
    rule = rf"tensors only.* would run {os.mkdir.__module__}\.mkdir\. Nothing was"
    with pytest.raises(ValueError, match=rule):
        read_torch(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "name",
    ["os.system", "posix.system", "builtins.eval", "builtins.getattr", "torch.load"],
)
def test_dangerous_names_are_refused_by_name(name, archive_writer, tmp_path):
    module, _, function = name.rpartition(".")
    content = f"c{module}\n{function}\n(S'exit 1'\ntR.".encode()
    path = archive_writer(tmp_path / "w.pt", content, {})
    assert f"which would run {name}" in refusal(path)


def test_a_stand_in_cannot_be_changed_by_the_file(archive_writer, tmp_path):
    content = b"ctorch._utils\n_rebuild_parameter\n(N}S'_function'\nNstb."
    assert "AttributeError" in refusal(archive_writer(tmp_path / "w.pt", content, {}))


def test_a_tensor_that_reaches_out_of_its_storage_is_refused(
    archive_writer, torch_writer, tmp_path
):
    path = torch_writer(tmp_path / "w.pt", {"a": np.ones((2, 3), "float32")})
    with zipfile.ZipFile(path) as archive:
        content = archive.read("archive/data.pkl")
        data = archive.read("archive/data/0")
    longer = content.replace(b"K\x02K\x03", b"K\x02K\x09")
    assert longer != content
    assert "reaches out" in refusal(archive_writer(path, longer, {"0": data}))
    assert "20 bytes" in refusal(archive_writer(path, content, {"0": data[:-4]}))
    assert "KeyError" in refusal(archive_writer(path, content, {}))


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.ckpt", "w.safetensors"])
def test_a_file_that_holds_no_weights_is_refused(name, tmp_path):
    (tmp_path / name).write_text("hello\n" * 20)
    assert "cut short" in refusal(tmp_path / name)


def test_checkpoints_without_tensors_and_missing_files_are_refused(
    archive_writer, tmp_path
):
    path = archive_writer(tmp_path / "w.pt", pickle.dumps({"epoch": 3}, 2), {})
    assert "without any" in refusal(path)
    assert "missing" in refusal(tmp_path / "nowhere.pt")
    assert "missing" in refusal(tmp_path)


def test_pickles_and_archives_of_something_else_are_refused(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(pickle.dumps({"a": [1, 2]}))
    assert "not a file of torch.save" in refusal(path)
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))
    assert "without data.pkl" in refusal(path)


# safetensors


def test_safetensors_of_every_kind_are_read(safetensors_writer, tmp_path):
    halves = np.array([1.0, -2.5], "float16")
    upper = (np.array([1.0, -2.5], "float32").view("uint32") >> 16).astype("uint16")
    entries = {
        "a.weight": ("F32", [2, 3], np.arange(6, dtype="float32").tobytes()),
        "half": ("F16", [2], halves.tobytes()),
        "brain": ("BF16", [2], upper.tobytes()),
        "count": ("I64", [], np.array(7).tobytes()),
        "yes": ("BOOL", [2], b"\x01\x00"),
    }
    path = safetensors_writer(tmp_path / "w.safetensors", entries, {"format": "pt"})
    loaded = read_torch(path)
    assert list(loaded) == list(entries)
    np.testing.assert_array_equal(loaded["a.weight"], np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(loaded["half"], halves)
    np.testing.assert_array_equal(loaded["brain"], [1.0, -2.5])
    assert loaded["count"] == 7
    np.testing.assert_array_equal(loaded["yes"], [True, False])


@pytest.mark.parametrize(
    "entry",
    [("F32", [3], bytes(8)), ("F4", [1], bytes(4)), ("F32", [1, 2], bytes(4))],
)
def test_safetensors_with_a_wrong_length_or_type_are_refused(
    entry, safetensors_writer, tmp_path
):
    path = safetensors_writer(tmp_path / "w.safetensors", {"a": entry})
    assert "cut short" in refusal(path)


def test_safetensors_that_were_cut_short_or_point_outside_are_refused(
    safetensors_writer, tmp_path
):
    path = safetensors_writer(tmp_path / "w.safetensors", {"a": ("F32", [1], bytes(4))})
    data = path.read_bytes()
    for length in (4, 30, len(data) - 1):
        path.write_bytes(data[:length])
        assert "cut short" in refusal(path)
    path.write_bytes(data.replace(b"[0, 4]", b"[-4,4]"))
    assert "of 4 bytes" in refusal(path)
