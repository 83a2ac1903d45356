"""Every method on arrays that an eye can check."""

import numpy as np
import pytest

from kerasloc.cams import methods

A = np.array([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]])  # (1, 2, 2, 2)
G = np.array([[[[0.0, -1.0], [4.0, -1.0]], [[8.0, -1.0], [0.0, -1.0]]]])


@pytest.fixture
def pair():
    return np.random.default_rng(0).standard_normal((2, 4, 3, 5, 6))


def test_cam_takes_one_class_or_several():
    kernel = np.array([[1.0, 0.0], [10.0, -1.0]])
    expected = [[[21.0, 43.0], [65.0, 87.0]]]
    np.testing.assert_allclose(methods.class_activation(A, kernel[:, 0]), expected)
    both = methods.class_activation(A, kernel)
    np.testing.assert_allclose(both[..., 0], expected)
    np.testing.assert_allclose(both[..., 1], -A[..., 1])


def test_grad_cam_weighs_features_by_the_mean_gradient():
    expected = [[[1.0, 5.0], [9.0, 13.0]]]  # 3 a - b
    np.testing.assert_allclose(methods.grad_cam(A, G), expected)


def test_grad_cam_plus_plus_follows_its_formula(pair):
    a, g = pair
    total = a.sum(axis=(1, 2), keepdims=True)
    shares = g**2 / (2 * g**2 + total * g**3 + 1e-6)
    weights = (np.maximum(g, 0) * shares).sum(axis=(1, 2))
    expected = np.einsum("nrck,nk->nrc", a, weights)
    answer = methods.grad_cam_plus_plus(a, g)
    np.testing.assert_allclose(answer, expected, rtol=2e-2, atol=1e-3)


def test_grad_cam_plus_plus_has_no_weight_where_there_is_no_gradient():
    assert not methods.grad_cam_plus_plus(A, np.zeros_like(A)).any()


def test_x_grad_cam_weighs_features_by_the_share_of_their_sum():
    # channel 0: (4 * 3 + 8 * 5) / 16 = 3.25; channel 1: -1
    answer = methods.x_grad_cam(A, G)
    np.testing.assert_allclose(answer, 3.25 * A[..., 0] - A[..., 1], rtol=1e-5)


def test_hi_res_cam_multiplies_place_by_place():
    np.testing.assert_allclose(methods.hi_res_cam(A, G), [[[-2.0, 8.0], [34.0, -8.0]]])


def test_layer_cam_leaves_negative_gradients_out():
    np.testing.assert_allclose(methods.layer_cam(A, G), [[[0.0, 12.0], [40.0, 0.0]]])


@pytest.mark.parametrize("shape", [(3, 4, 3, 20), (3, 8, 9, 5)])
def test_eigen_cam_is_the_first_component_of_the_centered_features(shape):
    features = np.random.default_rng(1).standard_normal(shape)
    answer = methods.eigen_cam(features)
    for image, found in zip(features, answer, strict=True):
        flat = image.reshape(-1, shape[-1])
        flat = flat - flat.mean(axis=0)
        direction = np.linalg.svd(flat)[2][0]
        expected = (flat @ direction).reshape(shape[1:3])
        sign = np.sign((expected * found).sum())
        np.testing.assert_allclose(found, sign * expected, atol=1e-4)
        assert (found * image.sum(axis=-1)).sum() > 0  # grows with the features


def test_eigen_grad_cam_is_eigen_cam_of_the_products(pair):
    np.testing.assert_allclose(
        methods.eigen_grad_cam(*pair), methods.eigen_cam(pair[0] * pair[1]), atol=1e-5
    )


def test_an_image_with_nan_has_no_component_and_harms_no_other(pair):
    broken = pair[0].copy()
    broken[1, 0, 0, 0] = np.nan
    answer = methods.eigen_cam(broken)
    assert np.isnan(answer[1]).all()
    np.testing.assert_allclose(answer[2:], methods.eigen_cam(pair[0])[2:])


def test_score_cam_weighs_features_by_the_softmax_of_their_scores():
    answer = methods.score_cam(A, [[1000.0, 1000.0 + np.log(3)]])
    np.testing.assert_allclose(answer, 0.25 * A[..., 0] + 0.75 * A[..., 1], rtol=1e-4)


def test_ablation_cam_weighs_features_by_the_share_that_goes_with_them():
    answer = methods.ablation_cam(A, [4.0], [[3.0, 6.0]])
    np.testing.assert_allclose(answer, 0.25 * A[..., 0] - 0.5 * A[..., 1])


def test_a_logit_of_zero_has_no_shares():
    assert not methods.ablation_cam(A, [0.0], [[3.0, 6.0]]).any()


GRADIENT = ("grad_cam", "grad_cam_plus_plus", "x_grad_cam", "hi_res_cam", "layer_cam")


@pytest.mark.parametrize("name", [*GRADIENT, "eigen_grad_cam"])
def test_an_image_does_not_feel_its_neighbors(pair, name):
    method = getattr(methods, name)
    together = method(*pair)
    for image in range(len(pair[0])):
        alone = method(pair[0][image : image + 1], pair[1][image : image + 1])
        np.testing.assert_allclose(together[image], alone[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", GRADIENT)
def test_half_precision_is_summed_in_single(name):
    features = np.ones((1, 64, 64, 1), "float16")
    gradients = np.full((1, 64, 64, 1), 60.0, "float16")  # the sum overflows float16
    answer = getattr(methods, name)(features, gradients)
    assert answer.dtype == np.float32
    assert np.isfinite(answer).all()
