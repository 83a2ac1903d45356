"""Base class of the wrappers: maps, heat maps, boxes and their refinement."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import keras
import numpy as np
import numpy.typing as npt

from kerasloc import boxes as box_tools
from kerasloc.checks import as_images, class_index, class_indices, class_list
from kerasloc.configs import NetworkConfig
from kerasloc.localizers.classifier import Classifier
from kerasloc.maps import min_max, resize_maps

Class = int | str
Classes = Class | Sequence[Class] | None


class Localizer(Classifier):
    """A network with named outputs that classifies images and localizes the classes.

    Images are (rows, cols, channels), gray ones also (rows, cols), or a batch of
    them; uint8, uint16 or float in [0, 1]. Methods return one image's result without
    the leading axis, unless ``squeeze=False``.

    Args:
        weights: A run folder, a `.keras`, `.weights.h5`, published legacy `.h5` or
            PyTorch file. None with ``num_classes``: an untrained network; None alone:
            the newest run in ``results/``.
        num_classes: Number of classes; read from the weights by default.
        im_size: Image size in pixels, a number or (rows, cols); the run's by default.
        channels: Number of channels of the images; read from the weights by default.
        class_names: Names of the classes in the order of the logits.
        multi_label: Whether an image has any number of classes, or exactly one.
        thresholds: Probability above which a class is predicted, one or per class.
        mean: Mean of the images, one for all channels or one each; subtracted.
        std: Standard deviation of the images, likewise; images are divided by it.
        **options: Options of the family's network, as in the signature.

    Attributes:
        model: The bare network: normalized images in, named outputs out.
        config: Description of the network.

    Raises:
        ValueError: If the weights do not exist or do not match.
        TypeError: If the network has no such option.

    Example:
        >>> import numpy as np, kerasloc
        >>> wrapper = kerasloc.Pylon(
        ...     num_classes=2, im_size=32, backbone="resnet18", decoder_channels=8
        ... )
        >>> images = np.zeros((3, 32, 32, 3), np.uint8)
        >>> wrapper.predict_proba(images).shape, wrapper.maps(images).shape
        ((3, 2), (3, 8, 8, 2))
    """

    cam_layer: str | None = None  # layer of kerasloc.cam; None: the last
    map_output = "maps"  # output of the network that raw maps are made of

    def _hold(self, model: keras.Model, config: NetworkConfig) -> None:
        super()._hold(model, config)
        self._map_outputs = self._only(self.map_output)

    def _only(self, name: str) -> keras.Model:
        """Return the network without the outputs of other names."""
        return keras.Model(self.model.input, {name: self.model.output[name]})

    def maps(
        self, x: npt.ArrayLike, classes: Classes = None, *, squeeze: bool = True
    ) -> np.ndarray:
        """Compute raw maps at the network's own size, (n, rows, cols, classes).

        Args:
            x: Images.
            classes: One class, index or name (no last axis), several, or None for all.
            squeeze: Whether one image loses its axis.
        """
        images, single = as_images(x, self.config.input_shape)
        maps = self.maps_of(self._run(self._map_outputs, images), classes)
        return maps[0] if single and squeeze else maps

    def generate_cams(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> tuple:
        """Compute ``(high, low, preds)`` in one forward pass.

        Args:
            x: Images.
            custom_class: Index or name, or one per image; the predicted by default.
            squeeze: Whether one image returns 2-D maps and its prediction.
        """
        raise NotImplementedError

    def high_res_cam(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> np.ndarray:
        """Compute the first map of :meth:`generate_cams`, (n, rows, cols)."""
        return self.generate_cams(x, custom_class, squeeze=squeeze)[0]

    def low_res_cam(
        self, x: npt.ArrayLike, custom_class: Classes = None, *, squeeze: bool = True
    ) -> np.ndarray:
        """Compute the second map of :meth:`generate_cams`, (n, rows, cols)."""
        return self.generate_cams(x, custom_class, squeeze=squeeze)[1]

    def heatmaps(
        self,
        x: npt.ArrayLike,
        classes: Classes = None,
        size: Sequence[int] | None = None,
        *,
        squeeze: bool = True,
    ) -> np.ndarray:
        """Compute heat maps in [0, 1] at the image's size.

        Arguments and shapes as for :meth:`maps`; ``size`` is (rows, cols) in pixels.
        Where maps are pooled to logits the heat is the probability at every pixel;
        HRCAM's maps are scaled by their minimum and maximum, a flat one to 0.
        """
        heat = self._as_heatmaps(self._maps_to_show(x, classes), size)
        return heat[0] if len(heat) == 1 and squeeze else heat

    def forward(self, x: npt.ArrayLike) -> dict[str, np.ndarray]:
        """Compute all outputs of the network in one forward pass.

        By name, with ``probabilities`` (n, classes); :meth:`maps_of` and
        :meth:`heatmaps_of` take maps out of them.
        """
        images, _ = as_images(x, self.config.input_shape)
        outputs = self._run(self.model, images)
        return {**outputs, "probabilities": self._probabilities(outputs["logits"])}

    def maps_of(
        self, outputs: Mapping[str, np.ndarray], classes: Classes = None
    ) -> np.ndarray:
        """Return the raw maps in the outputs of :meth:`forward`; see :meth:`maps`."""
        return outputs["maps"][..., self._columns(classes)]

    def heatmaps_of(
        self, outputs: Mapping[str, np.ndarray], classes: Classes = None
    ) -> np.ndarray:
        """Return the heat maps in the outputs of :meth:`forward`."""
        return self._as_heatmaps(self._maps_to_show_of(outputs, classes))

    def _as_heatmaps(
        self, maps: np.ndarray, size: Sequence[int] | None = None
    ) -> np.ndarray:
        """Scale maps (n, rows, cols[, classes]) to [0, 1] and to a size."""
        one_class = maps.ndim == 3
        stack = maps[..., None] if one_class else maps
        count, rows, cols, channels = stack.shape
        flat = np.moveaxis(stack, -1, 1).reshape(-1, rows, cols)
        size = tuple(size) if size is not None else self.config.im_size
        heat = self._heat(flat, size)
        _warn_flat(heat, channels)
        heat = np.moveaxis(heat.reshape(count, channels, *size), 1, -1)
        return heat[..., 0] if one_class else heat

    def boxes(
        self,
        x: npt.ArrayLike,
        threshold: float = 0.5,
        *,
        custom_class: Classes = None,
        squeeze: bool = True,
    ) -> np.ndarray | list[np.ndarray]:
        """Find the boxes around the hot regions of the map of one class per image.

        Args:
            x: Images.
            threshold: Heat above which a pixel is hot, in [0, 1].
            custom_class: Index or name, or one per image; the predicted by default.
            squeeze: Whether one image returns its array alone.

        Returns:
            Per image rows x, y, w, h, class, score in pixels, the largest region first;
            the score is the mean heat in the box.
        """
        images, single = as_images(x, self.config.input_shape)
        classes = self._classes(custom_class, len(images))
        maps, chosen = self._chosen_maps(images, classes)
        heat = self._relative_heat(maps, self.config.im_size)
        rows = [_scored(h, threshold, c) for h, c in zip(heat, chosen, strict=True)]
        return rows[0] if single and squeeze else rows

    def refine(
        self,
        x: npt.ArrayLike,
        custom_class: Classes = None,
        *,
        squeeze: bool = True,
        **options: Any,
    ) -> dict | list[dict]:
        """Run HRCAM's post-processing on the model's own maps.

        Args:
            x: Images.
            custom_class: Index or name, or one per image; the predicted by default.
            squeeze: Whether one image returns its dict of all steps alone.
            **options: Options of :func:`kerasloc.postprocess.pipeline`.
        """
        from kerasloc.postprocess import pipeline

        images, single = as_images(x, self.config.input_shape)
        high, low, _ = self.generate_cams(images, custom_class, squeeze=False)
        high = resize_maps(high, self.config.im_size)
        steps = [
            pipeline(image, low_map, high_map, **options)
            for image, low_map, high_map in zip(images, low, high, strict=True)
        ]
        return steps[0] if single and squeeze else steps

    def _maps_to_show(self, x, classes: Classes) -> np.ndarray:
        """Compute the maps that heat maps are made of, (n, rows, cols[, classes])."""
        return self.maps(x, classes, squeeze=False)

    def _maps_to_show_of(self, outputs, classes: Classes) -> np.ndarray:
        return self.maps_of(outputs, classes)

    def _chosen_maps(self, images, classes) -> tuple[np.ndarray, np.ndarray]:
        """Compute one map per image for boxes, (n, rows, cols), and its class, (n,)."""
        raise NotImplementedError

    def _heat(self, maps: np.ndarray, size) -> np.ndarray:
        return min_max(resize_maps(maps, size))

    def _relative_heat(self, maps: np.ndarray, size) -> np.ndarray:
        """Compute the heat maps for boxes, whose maximum is 1."""
        return self._heat(maps, size)

    def _columns(self, classes: Classes) -> int | list[int] | slice:
        """Return the index of a map's last axis: one class, several, or all."""
        if classes is None:
            return slice(None)
        names = self.config.class_names
        if isinstance(classes, str) or np.ndim(classes) == 0:
            return class_index(cast(Class, classes), names)
        return class_list(classes, names)

    def _classes(self, custom_class: Classes, count: int) -> np.ndarray:
        """Return one class index per image, -1 for the predicted class."""
        names = self.config.class_names
        indices, listed = class_indices(custom_class, count, names)
        if listed:
            raise ValueError(
                "Expected custom_class to be one class, or one per image. Received: "
                f"lists of {indices.shape[1]}. Use maps(x, classes) for several "
                "classes, labels.argmax(-1) of one-hot labels."
            )
        return indices[:, 0].astype(np.int32)


def _warn_flat(heat: np.ndarray, channels: int) -> None:
    flat = np.flatnonzero(~heat.any(axis=(1, 2)))
    if len(flat):
        images = sorted(set((flat // channels).tolist()))
        warnings.warn(
            f"A flat map has no maximum; its heat map is 0. Images: {images}.",
            stacklevel=4,
        )


def _scored(heat: np.ndarray, threshold: float, index: int) -> np.ndarray:
    """Return the rows x, y, w, h, class, score of one heat map."""
    regions = box_tools.from_mask(heat > threshold)
    corners = regions.astype(int)
    scores = [heat[y : y + h, x : x + w].mean() for x, y, w, h in corners]
    return np.column_stack([regions, np.full(len(regions), index), scores])
