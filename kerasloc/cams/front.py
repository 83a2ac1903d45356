"""``kerasloc.cam``: one call for any model and method."""

from kerasloc.cams.explainers import METHODS


def cam(  # noqa: PLR0917 - the options of one call, as people expect them
    model, x, method="gradcam", layer=None, classes=None, size=None, normalize=True
):
    """Heat maps: where in the images is what speaks for a class?

    Works with any functional or sequential Keras classifier (also nested ones, and
    those that were saved and loaded), and with the wrappers of this package, on the
    backends TensorFlow, JAX and PyTorch. A second call for the same model is faster.

    Args:
        model: The classifier.
        x: Images as it takes them, (n, rows, cols, channels), or one; wrappers take
            uint8 or floats in [0, 1].
        method: ``cam``, ``gradcam``, ``gradcampp``, ``xgradcam``, ``hirescam``,
            ``layercam``, ``eigencam``, ``eigengradcam``, ``scorecam`` or
            ``ablationcam``.
        layer: Name of a layer with rows and columns; by default the last of them that
            all of the answer is made of.
        classes: None for the predicted one of each image, a number for all images, one
            per image, a list of several per image, or ``"all"``.
        size: (rows, cols) of the answer, or a number; the images' by default.
        normalize: Whether each map is scaled to [0, 1]; without, maps of images and
            classes can be compared.

    Returns:
        Array (n, rows, cols), or (n, rows, cols, classes) for lists and ``"all"``;
        without the first axis for one image. Not below 0. Where nothing speaks for the
        class it is 0, with a warning.

    Raises:
        TypeError: If the model is none, or images are integers where it takes floats
            or the other way round.
        ValueError: If there is no such method or layer, or anything does not fit.

    Example:
        >>> heat = kerasloc.cam(model, images, "layercam", classes="all")
    """
    if not isinstance(method, str) or method not in METHODS:
        raise ValueError(
            f"A method is one of {', '.join(METHODS)}. Received: {method!r}."
        )
    return METHODS[method](model, layer)(x, classes, size, normalize)
