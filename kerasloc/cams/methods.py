"""The registry of methods, and ``kerasloc.cam``: one call for any model and method."""

from collections.abc import Sequence

import numpy as np

from kerasloc.cams import activation, gradient, perturbation
from kerasloc.cams.choice import BranchError
from kerasloc.cams.core import Explainer
from kerasloc.cams.tokens import Reshape
from kerasloc.checks import Classes

METHODS: dict[str, type[Explainer]] = {
    "cam": activation.CAM,
    "gradcam": gradient.GradCAM,
    "gradcampp": gradient.GradCAMPlusPlus,
    "xgradcam": gradient.XGradCAM,
    "hirescam": gradient.HiResCAM,
    "layercam": gradient.LayerCAM,
    "eigencam": activation.EigenCAM,
    "eigengradcam": gradient.EigenGradCAM,
    "scorecam": perturbation.ScoreCAM,
    "ablationcam": perturbation.AblationCAM,
}


def cam(
    model,
    x,
    method: str = "gradcam",
    layer: str | Sequence[str] | None = None,
    classes: Classes = None,
    *,
    size: int | tuple[int, int] | None = None,
    normalize: bool = True,
    reshape: Reshape = None,
) -> np.ndarray:
    """Compute heat maps: where in the images is the evidence for a class?

    Works with any functional or sequential Keras classifier, also nested or loaded
    ones, and with wrappers of this package. A second call for a model is faster.

    Args:
        model: Classifier.
        x: Images as the model takes them, (n, rows, cols, channels), or one image;
            wrappers take uint8 or floats in [0, 1]. Of a model with further inputs a
            list, [images, table], or a dict; these are held fixed.
        method: ``cam``, ``gradcam``, ``gradcampp``, ``xgradcam``, ``hirescam``,
            ``layercam``, ``eigencam``, ``eigengradcam``, ``scorecam`` or
            ``ablationcam``.
        layer: Layer, or several, as for :class:`~kerasloc.cams.core.Explainer`.
        classes: None for the predicted class of each image, a class for all images, one
            per image, a list of several per image, or ``"all"``.
        size: (rows, cols) of the maps, or a number; the images' by default.
        normalize: Scale each map to [0, 1]; without, maps of images and classes can be
            compared.
        reshape: Grid of tokens as for :class:`~kerasloc.cams.core.Explainer`; None
            recognizes it.

    Returns:
        Array (n, rows, cols), or (n, rows, cols, classes) for lists and ``"all"``;
        without the first axis for one image. 0 throughout, with a warning, where
        there is no evidence for the class.

    Raises:
        TypeError: If ``model`` is not a model, or images have a kind it does not take.
        ValueError: If there is no such method, layer or class, shapes do not fit, or
            the model has no default layer.

    Examples:
        >>> import keras
        >>> image = keras.Input((6, 6, 1))
        >>> x = keras.layers.Conv2D(2, 3, kernel_initializer="ones")(image)
        >>> model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x))
        >>> images = np.eye(6)[None, ..., None]
        >>> cam(model, images, "layercam", classes="all").shape
        (1, 6, 6, 2)
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(
            f"Expected a method: {', '.join(METHODS)}. Received: {method!r}."
        )
    try:
        explainer = METHODS[method](model, layer, reshape)
    except BranchError as error:
        branches = gradient.HiResCAM(model, list(error.layers), reshape)
        raise BranchError(error.layers, branches.shares(x, classes)) from None
    return explainer(x, classes, size, normalize)
