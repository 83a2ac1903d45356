"""The formulas of the methods on arrays that can be checked by eye."""

import numpy as np
import pytest

from kerasloc.cams import (
    AblationCAM,
    EigenCAM,
    EigenGradCAM,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    ScoreCAM,
    XGradCAM,
)

A = np.array([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]])  # (1, 2, 2, 2)
G = np.array([[[[0.0, -1.0], [4.0, -1.0]], [[8.0, -1.0], [0.0, -1.0]]]])


@pytest.fixture
def pair():
    return np.random.default_rng(0).standard_normal((2, 4, 3, 5, 6))


FIRST, SECOND = A[..., 0], A[..., 1]
BY_EYE = [
    (GradCAM, 3 * FIRST - SECOND),
    (XGradCAM, (4 * 3 + 8 * 5) / 16 * FIRST - SECOND),
    (HiResCAM, [[[-2.0, 8.0], [34.0, -8.0]]]),
    (LayerCAM, [[[0.0, 12.0], [40.0, 0.0]]]),
]


@pytest.mark.parametrize(("method", "expected"), BY_EYE)
def test_maps_of_activations_and_gradients(method, expected):
    np.testing.assert_allclose(method.combine(A, G), expected, rtol=1e-5)


def test_grad_cam_plus_plus_follows_its_formula(pair):
    a, g = pair
    total = a.sum(axis=(1, 2), keepdims=True)
    shares = g**2 / (2 * g**2 + total * g**3 + 1e-6)
    weights = (np.maximum(g, 0) * shares).sum(axis=(1, 2))
    expected = np.einsum("nrck,nk->nrc", a, weights)
    maps = GradCAMPlusPlus.combine(a, g)
    np.testing.assert_allclose(maps, expected, rtol=2e-2, atol=1e-3)


def test_grad_cam_plus_plus_has_no_weight_where_there_is_no_gradient():
    assert not GradCAMPlusPlus.combine(A, np.zeros_like(A)).any()


@pytest.mark.parametrize("shape", [(3, 4, 3, 20), (3, 8, 9, 5)])
def test_eigen_cam_is_the_first_component_of_the_centered_features(shape):
    features = np.random.default_rng(1).standard_normal(shape)
    maps = EigenCAM.project(features)
    for image, scores in zip(features, maps, strict=True):
        flat = image.reshape(-1, shape[-1])
        flat = flat - flat.mean(axis=0)
        direction = np.linalg.svd(flat)[2][0]
        expected = (flat @ direction).reshape(shape[1:3])
        sign = np.sign((expected * scores).sum())
        np.testing.assert_allclose(scores, sign * expected, atol=1e-4)
        assert (scores * image.sum(axis=-1)).sum() > 0  # grows with the features


def test_eigen_grad_cam_is_eigen_cam_of_the_products(pair):
    np.testing.assert_allclose(
        EigenGradCAM.combine(*pair), EigenCAM.project(pair[0] * pair[1]), atol=1e-5
    )


def test_an_image_with_nan_has_no_component_and_leaves_the_rest_alone(pair):
    broken = pair[0].copy()
    broken[1, 0, 0, 0] = np.nan
    maps = EigenCAM.project(broken)
    assert np.isnan(maps[1]).all()
    np.testing.assert_allclose(maps[2:], EigenCAM.project(pair[0])[2:])


def test_score_cam_weighs_features_by_the_softmax_of_their_scores():
    maps = ScoreCAM.combine(A, [[1000.0, 1000.0 + np.log(3)]])
    np.testing.assert_allclose(maps, 0.25 * FIRST + 0.75 * SECOND, rtol=1e-4)


def test_ablation_cam_weighs_features_by_the_share_that_goes_with_them():
    maps = AblationCAM.combine(A, [4.0], [[3.0, 6.0]])
    np.testing.assert_allclose(maps, 0.25 * A[..., 0] - 0.5 * A[..., 1])


def test_a_logit_of_zero_has_zero_weights():
    assert not AblationCAM.combine(A, [0.0], [[3.0, 6.0]]).any()


GRADIENT = (GradCAM, GradCAMPlusPlus, XGradCAM, HiResCAM, LayerCAM)


@pytest.mark.parametrize("method", [*GRADIENT, EigenGradCAM])
def test_the_map_of_an_image_does_not_depend_on_its_batch(pair, method):
    together = method.combine(*pair)
    for image in range(len(pair[0])):
        alone = method.combine(pair[0][image : image + 1], pair[1][image : image + 1])
        np.testing.assert_allclose(together[image], alone[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", GRADIENT)
def test_half_precision_is_summed_in_single(method):
    features = np.ones((1, 64, 64, 1), "float16")
    gradients = np.full((1, 64, 64, 1), 60.0, "float16")  # the sum overflows float16
    maps = method.combine(features, gradients)
    assert maps.dtype == np.float32
    assert np.isfinite(maps).all()
