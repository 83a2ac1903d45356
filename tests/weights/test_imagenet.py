"""ImageNet weights from folders, and fetched from a server on this machine."""

import functools
import hashlib
import http.server
import threading

import keras
import numpy as np
import pytest

from kerasloc.weights import find_imagenet, imagenet, load_imagenet

ARRAYS = {"conv1.weight": np.full((2, 3, 1, 1), 0.5, "float32")}


@pytest.fixture
def model():
    image = keras.Input((4, 4, 3))
    conv = keras.layers.Conv2D(2, 1, use_bias=False, name="conv1")
    return keras.Model(image, conv(image))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache, no folder of the user's, and no way to the outside."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KERASLOC_WEIGHTS", raising=False)
    monkeypatch.setattr(imagenet, "URL", "http://127.0.0.1:9/")
    return tmp_path / "cache" / "kerasloc"


@pytest.fixture
def published(tmp_path, torch_writer, monkeypatch):
    """A tiny file that passes as the published resnet18."""
    folder = tmp_path / "published"
    folder.mkdir()
    path = torch_writer(folder / "w.pth", ARRAYS)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path = path.rename(folder / f"resnet18-{digest[:8]}.pth")
    monkeypatch.setitem(imagenet.PUBLISHED, "resnet18", path.name)
    return path


@pytest.fixture
def server(published, monkeypatch):
    """The paths that a server of the published file was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    make = functools.partial(Handler, directory=published.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        monkeypatch.setattr(imagenet, "URL", f"http://127.0.0.1:{one.server_port}/")
        yield asked
        one.shutdown()
        thread.join()


def is_filled(model):
    return np.all(np.asarray(model.get_layer("conv1").kernel) == 0.5)


def test_every_backbone_has_published_weights():
    from kerasloc.backbones.configs import ARCHITECTURES

    assert set(imagenet.PUBLISHED) == set(ARCHITECTURES)
    for backbone, name in imagenet.PUBLISHED.items():
        assert name.startswith(f"{backbone}-")


def test_what_is_not_there_is_fetched_once(model, server, cache, published):
    assert load_imagenet(model, "resnet18").matched == 1
    assert is_filled(model)
    load_imagenet(model, "resnet18")
    assert len(server) == 1
    assert [path.name for path in cache.iterdir()] == [published.name]


def test_nothing_is_fetched_to_look_for_a_file(server):
    assert find_imagenet("resnet18") is None
    assert server == []


def test_the_users_folder_comes_before_the_cache(
    model, cache, published, monkeypatch, tmp_path
):
    cache.mkdir(parents=True)
    (cache / published.name).write_bytes(published.read_bytes())
    assert find_imagenet("resnet18") == cache / published.name
    monkeypatch.setenv("KERASLOC_WEIGHTS", str(published.parent))
    assert find_imagenet("resnet18") == published
    load_imagenet(model, "resnet18")
    assert is_filled(model)


def test_a_simply_named_file_is_taken_as_it_is(
    model, tmp_path, torch_writer, monkeypatch
):
    path = torch_writer(tmp_path / "resnet50.pth", ARRAYS)
    monkeypatch.setenv("KERASLOC_WEIGHTS", str(tmp_path))
    assert find_imagenet("resnet50") == path
    load_imagenet(model, "resnet50")
    assert is_filled(model)


def test_offline_the_message_says_where_to_put_the_file(model, cache, published):
    before = model.get_weights()
    with pytest.raises(ValueError, match="fetched once from") as error:
        load_imagenet(model, "resnet18")
    for part in (published.name, str(cache), "KERASLOC_WEIGHTS", "Received: "):
        assert part in str(error.value)
    assert list(cache.iterdir()) == []
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_a_server_without_the_file_is_as_good_as_none(model, server, published):
    published.unlink()
    with pytest.raises(ValueError, match="Received: HTTP Error 404"):
        load_imagenet(model, "resnet18")


def test_another_file_than_published_is_not_kept(model, server, cache, published):
    published.write_bytes(published.read_bytes()[:-9])
    with pytest.raises(ValueError, match=r"SHA-256 of resnet18-\w+\.pth begins with"):
        load_imagenet(model, "resnet18")
    assert list(cache.iterdir()) == []


def test_a_damaged_local_file_is_refused(published, monkeypatch):
    published.write_bytes(published.read_bytes()[:-9])
    monkeypatch.setenv("KERASLOC_WEIGHTS", str(published.parent))
    with pytest.raises(ValueError, match="It may be cut short; remove it"):
        find_imagenet("resnet18")


def test_an_unknown_backbone_and_a_folder_that_is_none_are_refused(
    tmp_path, monkeypatch
):
    with pytest.raises(ValueError, match=r"published for resnet18.*: 'vgg16'"):
        find_imagenet("vgg16")
    monkeypatch.setenv("KERASLOC_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="KERASLOC_WEIGHTS names a folder"):
        find_imagenet("resnet18")
