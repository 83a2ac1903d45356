"""The ten methods as functions on arrays: what a map is, before ReLU and scaling.

In all of them A are the activations of a layer, (n, rows, cols, channels), and G the
gradients of one logit per image with respect to them. Sums run over positions. All
are computed in float32, whatever comes.
"""

import numpy as np

EPSILON = 1e-6  # of Grad-CAM++'s denominator
SMALL = 1e-7  # of XGrad-CAM's
NOISE = 1e-5  # of the largest value: differences that rounding makes


def class_activation(activations, kernel) -> np.ndarray:
    """CAM: A times the classifier's weights of a class, (n, rows, cols[, classes]).

    Args:
        activations: A.
        kernel: Of the linear layer behind the pooling, (channels,) or (channels,
            classes).

    Reference:
        Zhou et al., Learning Deep Features for Discriminative Localization, CVPR 2016.
    """
    return _single(activations) @ _single(kernel)


def grad_cam(activations, gradients) -> np.ndarray:
    """Grad-CAM: channels weighed by their mean gradient, (n, rows, cols).

    Args:
        activations: A.
        gradients: G.

    Reference:
        Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via
        Gradient-based Localization, ICCV 2017, equations 1 and 2.
    """
    weights = np.mean(gradients, axis=(1, 2), dtype=np.float32)
    return _weighed(activations, weights)


def grad_cam_plus_plus(activations, gradients) -> np.ndarray:
    """Grad-CAM++: positive gradients count by how few share a channel, (n, rows, cols).

    The weight of a channel is the sum of relu(G) G^2 / (2 G^2 + sum(A) G^3), 0 where
    G is.

    Args:
        activations: A.
        gradients: G.

    Reference:
        Chattopadhyay et al., Grad-CAM++: Generalized Gradient-based Visual
        Explanations for Deep Convolutional Networks, WACV 2018, equations 10 and 19.
    """
    a, g = _single(activations), _single(gradients)
    squares = g**2
    below = 2 * squares + a.sum(axis=(1, 2), keepdims=True) * g * squares + EPSILON
    shares = np.divide(squares, below, out=np.zeros_like(g), where=g != 0)
    return _weighed(a, (np.maximum(g, 0) * shares).sum(axis=(1, 2)))


def x_grad_cam(activations, gradients) -> np.ndarray:
    """XGrad-CAM: channels weighed by sum(G A) / sum(A), (n, rows, cols).

    Args:
        activations: A.
        gradients: G.

    Reference:
        Fu et al., Axiom-based Grad-CAM: Towards Accurate Visualization and
        Explanation of CNNs, BMVC 2020, equation 8.
    """
    a, g = _single(activations), _single(gradients)
    weights = (g * a).sum(axis=(1, 2)) / (a.sum(axis=(1, 2)) + SMALL)
    return _weighed(a, weights)


def hi_res_cam(activations, gradients) -> np.ndarray:
    """HiRes-CAM: every activation weighed by its own gradient, (n, rows, cols).

    Args:
        activations: A.
        gradients: G.

    Reference:
        Draelos, Carin: Use HiResCAM instead of Grad-CAM for faithful explanations of
        convolutional neural networks, arXiv:2011.08891, equation 2.
    """
    return np.einsum("nrck,nrck->nrc", _single(activations), _single(gradients))


def layer_cam(activations, gradients) -> np.ndarray:
    """Layer-CAM: every activation weighed by its positive gradient, (n, rows, cols).

    Args:
        activations: A.
        gradients: G.

    Reference:
        Jiang et al., LayerCAM: Exploring Hierarchical Class Activation Maps for
        Localization, IEEE TIP 30, 2021, equation 7.
    """
    return hi_res_cam(activations, np.maximum(_single(gradients), 0))


def eigen_cam(activations) -> np.ndarray:
    """Eigen-CAM: A on their first principal component, (n, rows, cols).

    The positions of an image are the samples, each channel less its mean. Of the two
    directions of a component the one is taken in which the sum of the channels grows.

    Args:
        activations: A.

    Reference:
        Muhammad, Yeasin: Eigen-CAM: Class Activation Map using Principal Components,
        IJCNN 2020.
    """
    a = _single(activations)
    flat = a.reshape(len(a), -1, a.shape[-1])  # (n, positions, channels)
    noise = NOISE * np.abs(flat).max(axis=(1, 2), keepdims=True)
    flat = flat - flat.mean(axis=1, keepdims=True)
    flat = np.where(np.abs(flat) <= noise, 0, flat)
    finite = np.isfinite(flat).all(axis=(1, 2))
    found = np.full(flat.shape[:2], np.nan, np.float32)
    found[finite] = _first_component(flat[finite])
    return found.reshape(a.shape[:3])


def eigen_grad_cam(activations, gradients) -> np.ndarray:
    """Eigen-Grad-CAM: Eigen-CAM of G times A, (n, rows, cols).

    Args:
        activations: A.
        gradients: G.

    Reference:
        As Eigen-CAM; of the gradients' products, as the compared packages have it.
    """
    return eigen_cam(_single(activations) * _single(gradients))


def score_cam(activations, scores) -> np.ndarray:
    """Score-CAM: channels weighed by the softmax of their scores, (n, rows, cols).

    Args:
        activations: A.
        scores: Logit of the image times each channel, resized to it and scaled to
            [0, 1]; (n, channels).

    Reference:
        Wang et al., Score-CAM: Score-Weighted Visual Explanations for Convolutional
        Neural Networks, CVPR Workshops 2020.
    """
    scores = _single(scores)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return _weighed(activations, powers / powers.sum(axis=1, keepdims=True))


def ablation_cam(activations, logits, ablated) -> np.ndarray:
    """Ablation-CAM: channels weighed by the share of the logit that goes with them.

    A logit of exactly 0 has no shares: its weights are 0.

    Args:
        activations: A.
        logits: (n,).
        ablated: The logit without each channel, (n, channels).

    Reference:
        Desai, Ramaswamy: Ablation-CAM: Visual Explanations for Deep Convolutional
        Network via Gradient-free Localization, WACV 2020, equation 4.
    """
    logits, ablated = _single(logits)[:, None], _single(ablated)
    lost = logits - ablated
    there = np.broadcast_to(logits != 0, lost.shape)
    weights = np.divide(lost, logits, out=np.zeros_like(lost), where=there)
    return _weighed(activations, weights)


def _single(values) -> np.ndarray:
    return np.asarray(values, np.float32)


def _weighed(activations, weights) -> np.ndarray:
    """Channels times weights (n, channels), summed: (n, rows, cols)."""
    return np.einsum("nrck,nk->nrc", _single(activations), weights)


def _first_component(samples: np.ndarray) -> np.ndarray:
    """Centered samples (n, positions, channels) on their first component.

    Of the smaller of the two matrices of products: positions are fewer than channels
    in deep layers, many more in early ones.
    """
    positions, channels = samples.shape[1:]
    if positions <= channels:
        values, vectors = np.linalg.eigh(samples @ samples.swapaxes(1, 2))
        found = vectors[..., -1] * np.sqrt(np.maximum(values[:, -1:], 0))
    else:
        _, vectors = np.linalg.eigh(samples.swapaxes(1, 2) @ samples)
        found = np.einsum("npk,nk->np", samples, vectors[..., -1])
    towards = np.einsum("np,npk->n", found, samples)
    return found * np.where(towards < 0, -1, 1)[:, None]
