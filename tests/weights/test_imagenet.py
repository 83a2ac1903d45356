"""ImageNet weights from folders, and fetched from an origin on this machine."""

import functools
import hashlib
import http.server
import threading

import keras
import numpy as np
import pytest

from kerasloc.backbones.configs import ARCHITECTURES
from kerasloc.weights import ImageNetFiles, find_imagenet, imagenet, load_imagenet

ARRAYS = {"conv1.weight": np.full((2, 3, 1, 1), 0.5, "float32")}


@pytest.fixture
def model():
    image = keras.Input((4, 4, 3))
    conv = keras.layers.Conv2D(2, 1, use_bias=False, name="conv1")
    return keras.Model(image, conv(image))


@pytest.fixture
def origin(tmp_path, torch_writer):
    """A tiny published file of resnet18."""
    path = torch_writer(tmp_path / "w.pth", ARRAYS)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "origin").mkdir()
    return path.rename(tmp_path / "origin" / f"resnet18-{digest[:8]}.pth")


@pytest.fixture
def files(tmp_path, origin):
    """Published files of that origin, and an empty cache."""
    names, url = {"resnet18": origin.name}, f"{origin.parent.as_uri()}/"
    return ImageNetFiles(names, url, folder=None, cache=tmp_path / "cache")


def is_filled(model):
    return np.all(np.asarray(model.get_layer("conv1").kernel) == 0.5)


def test_every_backbone_has_published_weights():
    assert set(imagenet.PUBLISHED) == set(ARCHITECTURES)
    for backbone, name in imagenet.PUBLISHED.items():
        assert name.startswith(f"{backbone}-")


def test_a_missing_file_is_fetched_once(model, files, origin):
    assert find_imagenet("resnet18", files) is None
    assert not files.cache.exists()  # nothing is fetched by a search
    assert load_imagenet(model, "resnet18", files).matched == 1
    assert is_filled(model)
    assert [path.name for path in files.cache.iterdir()] == [origin.name]
    origin.unlink()
    load_imagenet(model, "resnet18", files)


def test_the_users_folder_comes_before_the_cache(model, files, origin):
    cached = files.fetch("resnet18")
    assert find_imagenet("resnet18", files) == cached
    both = ImageNetFiles(files.names, files.url, origin.parent, files.cache)
    assert find_imagenet("resnet18", both) == origin
    load_imagenet(model, "resnet18", both)
    assert is_filled(model)


def test_folders_are_those_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("KERASLOC_WEIGHTS", "folder")
    files = ImageNetFiles()
    assert (str(files.folder), files.cache) == ("folder", tmp_path / "kerasloc")


def test_a_simply_named_file_is_taken_as_it_is(model, files, torch_writer):
    files.cache.mkdir()
    path = torch_writer(files.cache / "resnet18.pth", ARRAYS)
    assert find_imagenet("resnet18", files) == path
    load_imagenet(model, "resnet18", files)
    assert is_filled(model)


@pytest.fixture
def empty_server(tmp_path):
    """Address of a server that answers 404."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    (tmp_path / "empty").mkdir()
    make = functools.partial(Handler, directory=tmp_path / "empty")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("origin_url", ["http://127.0.0.1:9/", "missing file", "404"])
def test_without_the_origin_the_error_says_where_to_copy_the_file(
    model, files, origin, unchanged, empty_server, origin_url
):
    url = {"missing file": None, "404": empty_server}.get(origin_url, origin_url)
    origin.unlink()
    files = ImageNetFiles(files.names, url or files.url, None, files.cache)
    with unchanged(model), pytest.raises(ValueError, match="Received: ") as error:
        load_imagenet(model, "resnet18", files)
    for text in (origin.name, str(files.cache), "KERASLOC_WEIGHTS"):
        assert text in str(error.value)
    assert not files.cache.exists()


def test_another_file_than_published_is_refused_and_not_kept(model, files, origin):
    origin.write_bytes(origin.read_bytes()[:-9])
    message = rf"SHA-256.*Received: \w+ for the {origin.stat().st_size} bytes"
    with pytest.raises(ValueError, match=message):
        load_imagenet(model, "resnet18", files)
    assert list(files.cache.iterdir()) == []
    local = ImageNetFiles(files.names, files.url, origin.parent, files.cache)
    with pytest.raises(ValueError, match=f"{message} of {origin}.*remove it"):
        find_imagenet("resnet18", local)


def test_unknown_backbones_and_missing_folders_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"resnet18, .*Received: 'vgg16'"):
        find_imagenet("vgg16", ImageNetFiles(folder=None, cache=tmp_path))
    missing = tmp_path / "nowhere"
    with pytest.raises(ValueError, match=f"KERASLOC_WEIGHTS.*Received: {missing}"):
        find_imagenet("resnet18", ImageNetFiles(folder=missing, cache=tmp_path))
