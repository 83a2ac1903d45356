"""Descriptions of networks from a wrapper's arguments, and networks from those."""

import concurrent.futures
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras

from kerasloc.checks import as_size
from kerasloc.configs import NetworkConfig
from kerasloc.models import families
from kerasloc.models.folding import fold
from kerasloc.untrusted import RefusedError

if TYPE_CHECKING:
    from kerasloc.localizers.classifier import Classifier

SPARE = 10_000_000  # numbers; names of layers that do not fit are then listed


@dataclasses.dataclass(frozen=True)
class Overrides:
    """Arguments of a :class:`~kerasloc.localizers.Localizer`; None: not overridden."""

    num_classes: int | None = None
    im_size: int | Sequence[int] | None = None
    channels: int | None = None
    class_names: Sequence[str] | None = None
    multi_label: bool | None = None
    thresholds: float | Sequence[float] | None = None
    mean: float | Sequence[float] | None = None
    std: float | Sequence[float] | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def network(self) -> dict[str, Any]:
        """Return the fields of a network's description that are not None."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        skipped = ("num_classes", "class_names", "options")
        return {k: v for k, v in values.items() if v is not None and k not in skipped}


def describe_network(
    wrapper: type["Classifier"], overrides: Overrides, stored: Mapping[str, Any]
) -> NetworkConfig:
    """Combine a wrapper's arguments, what is stored with weights, and the defaults.

    Raises:
        ValueError: If names and number of classes differ.
    """
    names, count = overrides.class_names, overrides.num_classes
    if names is None:
        names = stored.get("class_names")
        if names is None or (count is not None and len(names) != count):
            names = [f"class {index}" for index in range(count or 0)]
    if not names or (count is not None and len(names) != count):
        raise ValueError(
            "Expected one class name per class. "
            f"Received: num_classes={count}, class_names={names!r}."
        )
    values = {
        "im_size": wrapper.default_size,
        "channels": 3,
        "multi_label": wrapper.default_multi_label,
        **stored,
        **overrides.network(),
    }
    channels = int(values["channels"])
    normal = families.get(wrapper.family).normalization(channels)
    images = {k: values[k] for k in ("mean", "std", "thresholds") if k in values}
    return NetworkConfig(
        family=wrapper.family,
        class_names=tuple(names),
        im_size=as_size(values["im_size"]),
        channels=channels,
        multi_label=bool(values["multi_label"]),
        options={**stored.get("options", {}), **overrides.options},
        folded=stored.get("folded", False),
        **{**normal, **images},
    )


def build(config: NetworkConfig) -> keras.Model:
    """Build the untrained network of a description.

    Example:
        >>> config = NetworkConfig("pylon", ["a"], (32, 32), options={"n_up": 1})
        >>> build(config).output["maps"].shape
        (None, 2, 2, 1)
    """
    builder = families.get(config.family).load("build")
    model = builder(config.input_shape, config.num_classes, **config.options)
    return fold(model) if config.folded else model


def check_size(build_it: Callable[[], keras.Model], held: int, path: object) -> None:
    """Raise if a network has many more numbers than the file of its weights.

    The network is built without memory, in a thread of its own: a network's variables
    wait for their values in the state that Keras keeps per thread.

    Args:
        build_it: Function that builds the network.
        held: Number of numbers in the file.
        path: File, for the error.

    Raises:
        ValueError: If the network is out of proportion.

    Examples:
        >>> layer = keras.layers.Dense(10**9)
        >>> check_size(lambda: keras.Sequential([keras.Input((9,)), layer]), 90, "a.h5")
        Traceback (most recent call last):
        kerasloc.untrusted.RefusedError: ... a.h5 with 90 numbers, ... 10000000000....
    """

    def count() -> int:
        with keras.StatelessScope(initialize_variables=False):
            return sum(math.prod(weight.shape) for weight in build_it().weights)

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        needed = pool.submit(count).result()
    if needed > 2 * held + SPARE:
        raise RefusedError(
            f"Expected weights that fit the network. Received: {path} with {held} "
            f"numbers, which describes a network of {needed}. Use another copy, or "
            "the run folder of the weights."
        )
