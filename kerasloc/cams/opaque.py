"""Opaque layers: models within a model whose layers are not in its graph."""

import inspect
from collections.abc import Iterable, Mapping

import keras

from kerasloc.cams.graph import DIMENSIONS, Graph, has_graph, sublayers, unwrap

EXPORTED = ("TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper")
OPAQUE = (
    "its layers are called in code. Use keras.Model(x, opaque.call(x)), "
    "x = keras.Input(shape), in its stead, which makes a graph of the calls"
)


def check_opaque(
    graph: Graph, nodes: Iterable, layers: Mapping[str, keras.KerasTensor]
) -> None:
    """Raise a ValueError if a call hides layers.

    Args:
        graph: Graph from inputs to logits.
        nodes: Calls in it.
        layers: Outputs of layers that maps can be made of, by path.

    Examples:
        >>> from kerasloc.cams.graph import open_graph
        >>> model = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.ReLU()])
        >>> graph = open_graph(model, model.outputs[0])
        >>> check_opaque(graph, graph.nodes, {})
    """
    for node in nodes:
        reason = opacity(node.operation)
        if reason:
            behind = graph.computed_from(node.outputs)
            before = [name for name, x in layers.items() if id(x) not in behind]
            choice = f", or layer= one before it: {', '.join(before)}" if before else ""
            raise ValueError(
                "Expected a graph of layers from the image to the pooling. Received: "
                f"{graph.path(node)!r} ({type(unwrap(node.operation)).__name__}), "
                f"which is opaque: {reason}{choice}."
            )


def opacity(operation: keras.Operation) -> str | None:
    """Tell why layers within a layer cannot be named, and what to do; None if they can.

    Examples:
        >>> opacity(keras.layers.Dense(2)) is None
        True
    """
    layer = unwrap(operation)
    if type(layer).__name__ in EXPORTED:
        return (
            "it is an exported function without layers. Use the model that was "
            "exported, from its .keras file or code"
        )
    within = [*sublayers(layer), *_in_function(layer)]
    convolutions = [
        weight
        for inner in (layer, *within)
        for weight in getattr(inner, "weights", ())
        if len(weight.shape) == DIMENSIONS and tuple(weight.shape[:2]) != (1, 1)
    ]
    hides = (within and convolutions) or attentions(layer) > 1
    if (isinstance(layer, keras.Model) and not has_graph(layer)) or hides:
        return OPAQUE
    return None


def _in_function(layer) -> list[keras.Layer]:
    """Layers that the function of a Lambda calls."""
    function = getattr(layer, "function", None)
    if not isinstance(layer, keras.layers.Lambda) or not inspect.isfunction(function):
        return []
    variables = inspect.getclosurevars(function)
    values = [*variables.nonlocals.values(), *variables.globals.values()]
    return [value for value in values if isinstance(value, keras.Layer)]


def attentions(operation: keras.Operation) -> int:
    """Count the attention layers that a layer is or has.

    Examples:
        >>> attentions(keras.layers.MultiHeadAttention(2, 4))
        1
    """
    layers = [unwrap(operation), *sublayers(operation)]
    named = [x for x in layers if "Attention" in type(x).__name__]
    around = [x for x in named if set(sublayers(x)) & set(named)]
    return len(named) - len(around)
