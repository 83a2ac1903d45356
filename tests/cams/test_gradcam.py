"""Grad-CAM of arrays that an eye can check."""

import numpy as np

from kerasloc.cams import grad_cam


def test_features_are_weighed_by_the_mean_gradient():
    features = np.array([[[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]]])
    gradients = np.zeros_like(features)
    gradients[..., 0] = [[[0.0, 4.0], [8.0, 0.0]]]  # mean 3
    gradients[..., 1] = [[[-1.0, -1.0], [-1.0, -1.0]]]
    expected = [[[1.0, 5.0], [9.0, 13.0]]]  # 3 a - b
    np.testing.assert_allclose(grad_cam(features, gradients), expected)


def test_what_speaks_against_the_class_is_zero():
    features = np.array([[[[1.0], [-2.0]]]])
    gradients = np.full((1, 1, 2, 1), -3.0)
    np.testing.assert_array_equal(grad_cam(features, gradients), [[[0.0, 6.0]]])


def test_every_image_has_its_own_weights():
    rng = np.random.default_rng(0)
    features, gradients = rng.standard_normal((2, 4, 3, 5, 6))
    answer = grad_cam(features, gradients)
    assert answer.shape == (4, 3, 5)
    for image in range(4):
        weights = gradients[image].mean(axis=(0, 1))
        expected = np.maximum(features[image] @ weights, 0)
        np.testing.assert_allclose(answer[image], expected, atol=1e-6)


def test_half_precision_is_summed_in_single():
    features = np.ones((1, 64, 64, 1), "float16")
    gradients = np.full((1, 64, 64, 1), 60.0, "float16")  # the sum overflows float16
    answer = grad_cam(features, gradients)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, 60.0)


def test_no_gradient_gives_an_empty_map():
    assert not grad_cam(np.ones((2, 3, 3, 4)), np.zeros((2, 3, 3, 4))).any()
