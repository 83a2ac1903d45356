"""HalfModel and FullModel as people call them."""

import os

import h5py
import keras
import numpy as np
import pytest

import kerasloc
from kerasloc import FullModel, HalfModel, weights
from kerasloc.localizers import classifier
from kerasloc.metrics import min_max, resize_maps
from kerasloc.postprocess import pipeline
from kerasloc.weights import find_runs

SMALL = {"num_classes": 3, "im_size": 32}
WRAPPERS = {"half": HalfModel, "full": FullModel}


def write_legacy(path, arrays, under=None):
    """A weight file as Keras 2 wrote it."""
    with h5py.File(path, "w") as file:
        root = file.create_group(under) if under else file
        root.attrs["layer_names"] = [name.encode() for name in arrays]
        for layer, variables in arrays.items():
            group = root.create_group(layer)
            names = [f"{layer}/{name}:0" for name in variables]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, variables.values(), strict=True):
                group.create_dataset(name, data=array)
        root.create_group("activation").attrs["weight_names"] = []


@pytest.fixture(scope="module")
def golden_full(hrcam_golden, tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / "full.h5"
    write_legacy(path, hrcam_golden.arrays("full"))
    return FullModel(path, im_size=64)


@pytest.fixture
def full(tiny):
    keras.utils.set_random_seed(3)
    return FullModel(**SMALL, class_names=["cat", "dog", "emu"], **tiny)


@pytest.fixture
def half(tiny):
    keras.utils.set_random_seed(3)
    return HalfModel(**SMALL, **tiny)


# The published answers


def test_cams_equal_the_published_ones(golden_full, hrcam_golden):
    high, low, preds = golden_full.generate_cams(hrcam_golden.images)
    assert preds.tolist() == hrcam_golden.facts["predicted"]
    first_high, first_low, _ = golden_full.generate_cams(hrcam_golden.images, 0)
    for image in range(2):
        for name, maps in (
            ("high_pred", high),
            ("low_pred", low),
            ("high_first", first_high),
            ("low_first", first_low),
        ):
            golden = hrcam_golden.answers[f"{name}_{image}"]
            np.testing.assert_allclose(maps[image], golden, atol=1e-5)


def test_half_legacy_file_answers_as_published(hrcam_golden, tmp_path):
    path = tmp_path / "half.h5"
    write_legacy(path, hrcam_golden.arrays("half"), under="model_weights")
    model = HalfModel(path, im_size=64)
    answers = hrcam_golden.answers
    probabilities = model.predict_proba(hrcam_golden.images)
    np.testing.assert_allclose(probabilities, answers["probs_half"], atol=1e-6)
    cam = model.cam(hrcam_golden.images[1])
    np.testing.assert_allclose(cam, answers["half_cam_1"], atol=1e-5)


def test_non_square_images_work(tiny, images):
    model = FullModel(num_classes=2, im_size=(32, 64), **tiny)
    high, low, _ = model.generate_cams(np.concatenate([images, images], axis=2))
    assert (high.shape[1:], low.shape[1:]) == ((32, 64), (2, 4))


def test_cams_and_prediction_come_from_one_forward_pass(full, images, monkeypatch):
    passes = []

    run = classifier.run

    def counted(model, *inputs):
        passes.append(model)
        return run(model, *inputs)

    monkeypatch.setattr(classifier, "run", counted)
    full.generate_cams(images)
    assert len(passes) == 1


# Classes


def test_class_zero_is_a_class(full, images):
    zero = full.high_res_cam(images, 0)
    features = full.model.predict_on_batch(images)["high_features"]
    kernel = full.model.get_layer("aux_output").get_weights()[0]
    np.testing.assert_allclose(zero, features @ kernel[:, 0], atol=1e-5)
    assert not np.allclose(zero, full.high_res_cam(images, 1))


# Maps, heat maps, boxes, refinement


def test_maps_of_all_classes_hold_every_cam(full, images):
    maps = full.maps(images)
    assert maps.shape == (3, 32, 32, 3)
    for index in range(3):
        cam = full.high_res_cam(images, index)
        np.testing.assert_allclose(maps[..., index], cam, atol=1e-5)
        np.testing.assert_allclose(full.maps(images, index), cam, atol=1e-5)


def test_heatmaps_lie_in_unit_range_at_image_size(half, images):
    heat = half.heatmaps(images, [0, 2])
    assert heat.shape == (3, 32, 32, 2)
    assert (heat.min(), heat.max()) == (0, 1)
    assert half.heatmaps(images[0], 1, size=(50, 40)).shape == (50, 40)


def test_flat_map_gives_a_zero_heat_map_and_a_warning(half, images):
    half.model.get_layer("aux_output").set_weights([np.zeros((4, 3)), np.zeros(3)])
    with pytest.warns(UserWarning, match="flat map"):
        heat = half.heatmaps(images[:2], 0)
    assert not heat.any()


def test_boxes_surround_what_is_hot(full, images):
    rows = full.boxes(images[0], threshold=0.5, custom_class=2)
    low = full.low_res_cam(images[:1], 2, squeeze=False)
    heat = min_max(resize_maps(low, (32, 32)))[0]
    covered = np.zeros((32, 32), bool)
    for x, y, w, h, index, score in rows:
        assert (index, 0 < score <= 1) == (2, True)
        covered[int(y) : int(y + h), int(x) : int(x + w)] = True
    assert np.all(covered[heat > 0.5])
    assert len(full.boxes(images)) == 3


def test_refine_gives_every_step_of_one_and_of_several(full, images):
    steps = full.refine(images[0])
    assert steps["merged"].shape == (32, 32)
    assert [s["result"].shape for s in full.refine(images)] == [(32, 32, 3)] * 3


def test_refine_uses_the_models_own_cams(full, images):
    high, low, _ = full.generate_cams(images[1], 2)
    expected = pipeline(images[1], low, high, roi_percentile=60)["merged"]
    merged = full.refine(images[1], 2, roi_percentile=60)["merged"]
    np.testing.assert_allclose(merged, expected, atol=1e-6)


@pytest.mark.parametrize("call", ["refine", "high_res_cam"])
def test_half_model_says_that_it_has_no_high_map(half, images, call):
    with pytest.raises(ValueError, match=r"train_full\.py"):
        getattr(half, call)(images)


def test_multi_label_predicts_every_class_for_itself(tiny, images):
    model = HalfModel(num_classes=3, im_size=32, multi_label=True, **tiny)
    rows = model.predict(images)
    np.testing.assert_array_equal(rows, (model.predict_proba(images) > 0.5))
    assert model.generate_cams(images)[1].shape == (3, 3)


# Normalization and inference


def fill(model):
    """Weights that make every normalization do something."""
    rng = np.random.default_rng(5)
    for weight in model.weights:
        low, high = (-0.5, 0.5)
        if weight.name == "moving_variance":
            low, high = 0.5, 1.5
        elif weight.name == "gamma":
            low, high = 0.3, 0.9
        weight.assign(rng.uniform(low, high, weight.shape))


def test_images_are_taken_as_they_are_unless_a_normalization_is_given(
    half, images, tiny
):
    assert (half.config.mean, half.config.std) == ((0.0,), (1.0,))
    expected = half.model.predict_on_batch(images)["logits"]
    np.testing.assert_allclose(half.logits(images), expected, atol=1e-6)
    given = HalfModel(**SMALL, mean=[0.1, 0.2, 0.3], std=0.5, **tiny)
    normal = ((images - [0.1, 0.2, 0.3]) / 0.5).astype("float32")
    expected = given.model.predict_on_batch(normal)["logits"]
    np.testing.assert_allclose(given.logits(images), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["half", "full"])
def test_optimized_models_answer_the_same(kind, images, tmp_path, tiny):
    model = WRAPPERS[kind](**SMALL, **tiny)
    fill(model.model)
    before = model.model.get_weights()
    fast = model.optimize()
    assert len(fast.model.weights) < len(before)
    expected = model.generate_cams(images, 1)
    loaded = kerasloc.load(fast.save(tmp_path / "run"))
    assert loaded.config == fast.config
    for other in (fast, fast.optimize(), loaded):
        for a, b in zip(other.generate_cams(images, 1), expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4 * max(1, np.abs(b).max()))
    for a, b in zip(model.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_imagenet_weights_are_for_other_families():
    with pytest.raises(ValueError, match=r"ResNet backbone.*Train it from scratch"):
        HalfModel("imagenet", num_classes=3)


# Weights


def test_keras_file_gives_equal_answers(full, images, tmp_path):
    full.model.save(tmp_path / "model.keras")
    loaded = FullModel(tmp_path / "model.keras", class_names=["cat", "dog", "emu"])
    for a, b in zip(
        loaded.generate_cams(images), full.generate_cams(images), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_lone_weight_file_tells_the_sizes(full, images, tmp_path):
    full.model.save_weights(tmp_path / "w.weights.h5")
    loaded = FullModel(tmp_path / "w.weights.h5", im_size=32)
    np.testing.assert_array_equal(loaded.logits(images), full.logits(images))


def test_explicit_arguments_win_over_the_run_folder(full, tmp_path):
    full.save(tmp_path / "run")
    loaded = FullModel(tmp_path / "run", im_size=64, class_names=["x", "y", "z"])
    assert loaded.config.im_size == (64, 64)
    assert loaded.config.class_names == ("x", "y", "z")


def test_newest_run_is_found_from_a_folder_below(full, tmp_path, monkeypatch):
    for age, name in enumerate(["new", "old"]):
        folder = full.save(tmp_path / "results" / "full" / name)
        os.utime(folder / "model.weights.h5", (1e9 - age, 1e9 - age))
    below = tmp_path / "notebooks" / "deep"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert [run.name for run in find_runs("full")] == ["new", "old"]
    assert FullModel().config == full.config


def test_without_a_run_the_error_says_which_commands_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError, match=r"pretrain_half\.py and then .*train_full\.py"
    ):
        FullModel()
    with pytest.raises(ValueError, match=r"pretrain_half\.py"):
        HalfModel()


def test_file_that_matches_half_of_the_layers_is_refused(half, full, tmp_path, tiny):
    half.model.save_weights(tmp_path / "half.weights.h5")
    full.model.save_weights(tmp_path / "full.weights.h5")
    with pytest.raises(ValueError, match=r"missing: .*tr_up_1_conv2DT/kernel"):
        FullModel(tmp_path / "half.weights.h5", im_size=32)
    with pytest.raises(ValueError, match=r"left over: .*dense_6"):
        HalfModel(tmp_path / "full.weights.h5", im_size=32)


def test_refused_weights_leave_the_model_as_it_was(half, full, tmp_path):
    half.model.save_weights(tmp_path / "half.weights.h5")
    before = full.model.get_weights()
    with pytest.raises(ValueError, match="missing"):
        weights.assign(full.model, weights.read_arrays(tmp_path / "half.weights.h5"))
    for a, b in zip(before, full.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_weights_of_another_class_or_channel_count_are_refused(half, tmp_path):
    half.save(tmp_path / "run")
    with pytest.raises(ValueError, match=r"another shape: aux_output/kernel \(4, 3\)"):
        HalfModel(tmp_path / "run", num_classes=7)
    with pytest.raises(ValueError, match=r"another shape: initial_conv2D"):
        HalfModel(tmp_path / "run", channels=1)


def test_weights_of_another_architecture_are_refused(full, half, tmp_path):
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, name="head")])
    other.save_weights(tmp_path / "other.weights.h5")
    other.save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match=r"architecture of FullModel.*head"):
        FullModel(tmp_path / "other.weights.h5")
    with pytest.raises(ValueError, match="with the outputs"):
        FullModel(tmp_path / "other.keras")
    half.save(tmp_path / "half")
    with pytest.raises(ValueError, match="of the family 'half'"):
        FullModel(tmp_path / "half")


def test_missing_paths_folders_and_files_of_another_kind_are_refused(tmp_path):
    (tmp_path / "text.h5").write_text("no weights")
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("nowhere", "does not exist"),
        ("empty", r"config\.json. Received: .*empty"),
        ("text.h5", "HDF5 weight file.*text.h5"),
    ):
        with pytest.raises(ValueError, match=message):
            FullModel(tmp_path / name)


def test_run_without_weights_yet_says_so(half, tmp_path):
    folder = half.save(tmp_path / "run")
    (folder / "model.weights.h5").unlink()
    with pytest.raises(ValueError, match="has not completed an epoch"):
        HalfModel(folder)


def test_class_names_and_count_must_agree(tiny):
    with pytest.raises(ValueError, match="one class name per class"):
        HalfModel(num_classes=3, class_names=["a", "b"], im_size=32, **tiny)
