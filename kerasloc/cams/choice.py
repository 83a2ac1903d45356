"""Which layer maps are made of: by name, or the last that the logits go through."""

import collections
import functools
from collections.abc import Mapping

import keras
import numpy as np

from kerasloc.cams.backend import call_errors
from kerasloc.cams.graph import DIMENSIONS, Graph, submodel
from kerasloc.cams.opaque import attentions, check_opaque, opacity
from kerasloc.cams.tokens import TOKENS, Layout, Reshape, positions

SHOWN = 3  # layers of tokens in an error
SAME = 1e-6  # difference of equal outputs, as a share of their maximum


class BranchError(ValueError):
    """Branches join after pooling, and no layer is before all of them.

    Args:
        layers: Last layer of every branch, by path.
        shares: Shares of the logit in percent, in the same order, where measured.

    Examples:
        >>> x = keras.Input((4, 4, 2))
        >>> str(BranchError({"a": x, "b": x}, [70, 30]))[-61:]
        'a (4, 4, 2) 70 % of the logit, b (4, 4, 2) 30 % of the logit.'
    """

    def __init__(self, layers: Mapping[str, keras.KerasTensor], shares=None):
        self.layers = dict(layers)
        texts = [f"{name} {tuple(x.shape[1:])}" for name, x in layers.items()]
        hint = " kerasloc.cam(model, x) lists shares." if shares is None else ""
        if shares is not None:
            pairs = zip(texts, shares, strict=True)
            texts = [f"{text} {round(share)} % of the logit" for text, share in pairs]
        super().__init__(
            "Expected a layer, as branches join after pooling and none has all of the "
            f"evidence. Received: layer=None. Use several, layer={list(layers)}, whose "
            f"maps are summed as their logits add, or one: {', '.join(texts)}.{hint}"
        )


class Layers:
    """Layers of a graph whose outputs have positions: rows and columns, or tokens.

    Args:
        graph: Graph from the image to the logits.
        reshape: As for :class:`~kerasloc.cams.core.Explainer`.

    Examples:
        >>> from kerasloc.cams.graph import open_graph
        >>> image = keras.Input((8, 8, 1))
        >>> x = keras.layers.Conv2D(4, 3, name="conv")(image)
        >>> model = keras.Model(image, keras.ops.max(x, axis=(1, 2)))
        >>> Layers(open_graph(model, model.outputs[0])).features(None) is x
        True
    """

    def __init__(self, graph: Graph, reshape: Reshape = None):
        self.graph = graph
        self._reshape = reshape
        self._positions = positions(graph, reshape)

    def layout(self, tensor: keras.KerasTensor) -> Layout | None:
        """Return the layout of tokens; None for rows and columns."""
        return self._positions[id(tensor)]

    def features(self, layer: str | None) -> keras.KerasTensor:
        """Return the symbolic output of a layer.

        Args:
            layer: Name of the layer or nested model, or the end of its path; the last
                that all of the output is computed from by default.

        Raises:
            ValueError: If no layer with positions has the name, or several have; if
                there is no default.
        """
        tensor = self._default() if layer is None else self._by_name(layer)
        layout = self.layout(tensor)
        shape = tuple(tensor.shape[1:3]) if layout is None else layout.grid.shape
        if self._reshape not in (None, "tokens", shape) or (
            self._reshape and not layout
        ):
            raise ValueError(
                "Expected reshape='tokens' or (rows, cols) for tokens of patches. "
                f"Received: reshape={self._reshape!r} for {self._path(tensor)!r}, "
                f"{tuple(tensor.shape)}, of {shape[0]} rows and {shape[1]} columns. "
                "Leave it out."
            )
        return tensor

    def _by_name(self, layer) -> keras.KerasTensor:
        """Output of a layer, by the end of its path."""
        candidates = self._named | {
            key: x for key, x in self.graph.nested.items() if id(x) in self._positions
        }
        matches = _matching(layer, candidates)
        if len(matches) == 1:
            return candidates[matches[0]]
        if not candidates:
            return self._default()  # raises an error
        raise ValueError(
            "Expected the name of a layer whose output has rows and columns"
            f"{' or tokens of patches' if self._tokens else ''}. Received: "
            f"{layer!r}{self._problem(layer, matches)}. "
            f"Use one of: {', '.join(self._named)}."
        )

    @functools.cached_property
    def _named(self) -> dict[str, keras.KerasTensor]:
        """Outputs with positions by path, those of earlier calls as ``path:1``."""
        tensors: dict[str, keras.KerasTensor] = {}
        repeated: collections.Counter = collections.Counter()
        for node in self.graph.nodes:
            path, multiple = self.graph.path(node), len(node.outputs) > 1
            for index, x in enumerate(node.outputs):
                if id(x) not in self._positions:
                    continue
                name = f"{path}:{index}" if multiple else path
                if name in tensors:
                    repeated[name] += 1
                    tensors[f"{name}:{repeated[name]}"] = tensors.pop(name)
                tensors[name] = x
        return tensors

    @property
    def _extracted(self) -> dict[str, keras.KerasTensor]:
        """Outputs that are no plain image, by path."""
        return {k: x for k, x in self._named.items() if id(x) in self._convolved}

    @property
    def _tokens(self) -> list[keras.KerasTensor]:
        """Tokens with a layout, in the order of execution."""
        outputs = (x for node in self.graph.nodes for x in node.outputs)
        return [x for x in outputs if self._positions.get(id(x)) is not None]

    def _problem(self, layer, matches) -> str:
        """What is wrong with a layer's name."""
        if len(matches) > 1:
            return f", which matches {' and '.join(matches)}"
        outputs = {self.graph.path(node): node.outputs for node in self.graph.nodes}
        named = _matching(layer, outputs)
        if named:
            shape = outputs[named[0]][0].shape
            tokens = len(shape) == TOKENS and ((shape[1] or 0) > 1)
            hint = "; reshape='tokens' or (rows, cols) lays tokens of patches on a grid"
            return f", whose output is {shape}{hint if tokens else ''}"
        opaque = [node for node in self.graph.nodes if opacity(node.operation)]
        texts = [f"{self.graph.path(node)!r} is opaque" for node in opaque]
        return f"; {', '.join(texts)}, without names within" if texts else ""

    def _default(self) -> keras.KerasTensor:
        """Last tensor with positions that all of the output needs."""
        tail = self._tail
        last = self._last
        check_opaque(self.graph, tail, self._extracted)
        self._check_layouts(last)
        self._check_one_image(last)
        tensor = last[0] if len(last) == 1 else self._common(last)
        return self._mattering(tensor, tail)

    @functools.cached_property
    def _lost(self) -> set[int]:
        """Ids of tensors without positions that lead to the logits without any."""
        lost = {id(self.graph.output)}
        dependent = self.graph.computed_from(self.graph.images)
        for node in reversed(self.graph.nodes):
            if any(id(x) in lost for x in node.outputs):
                inputs = {id(x) for x in node.input_tensors} & dependent
                lost |= inputs - self._positions.keys()
        return lost

    @functools.cached_property
    def _tail(self) -> list:
        """Calls that take positions, or the image, and lose them on the way out."""
        starts = self._positions.keys() | {id(x) for x in self.graph.images}
        nodes = self.graph.nodes
        nodes = [n for n in nodes if self._lost & {id(x) for x in n.outputs}]
        return [n for n in nodes if any(id(x) in starts for x in n.input_tensors)]

    @functools.cached_property
    def _last(self) -> list[keras.KerasTensor]:
        """Tensors with positions that are pooled, in the order of execution."""
        pooled = {id(x) for node in self._tail for x in node.input_tensors}
        outputs = [x for node in self.graph.nodes for x in node.outputs]
        last = [x for x in outputs if id(x) in pooled and id(x) in self._positions]
        return [x for x in last if id(x) in self._convolved] or last

    @functools.cached_property
    def _convolved(self) -> set[int]:
        """Ids of what is computed from tokens or convolutions, thus no plain image."""
        tensors = self._tokens
        for node in self.graph.nodes:
            weights = getattr(node.operation, "weights", ())
            if any(len(weight.shape) == DIMENSIONS for weight in weights):
                tensors += node.outputs
        return self.graph.computed_from(tensors)

    def _common(self, last) -> keras.KerasTensor:
        """Last tensor with positions before all branches, none of a coarser grid."""
        nodes, dependent = self.graph.nodes, self.graph.computed_from(self.graph.images)
        last_use = {id(self.graph.output): len(nodes)}
        for index, node in enumerate(nodes):
            last_use |= {id(x): index for x in node.input_tensors}
        common, live = None, set()
        for index, node in enumerate(nodes):
            live |= {id(x) for x in node.outputs} & dependent
            live = {key for key in live if last_use.get(key, -1) > index}
            (*_, x) = node.outputs
            fits = live == {id(x)} and id(x) in self._positions
            common = x if fits and id(x) in self._convolved else common
        if common is not None and all(self._as_fine(x, common) for x in last):
            return common
        users = [[n for n in self._tail if _takes(n, x)] for x in last]
        last = [self._mattering(*pair) for pair in zip(last, users, strict=True)]
        raise BranchError({self._path(x): x for x in last})

    def _path(self, tensor) -> str:
        return next(name for name, x in self._named.items() if x is tensor)

    def _as_fine(self, x, common) -> bool:
        """Test if no convolution leads from a tensor to a coarser one."""
        graph = self.graph
        behind = graph.computed_from([common]) - {id(common)}
        nodes = [n for n in graph.nodes if getattr(n.operation, "weights", None)]
        weighted = [y for n in nodes for y in n.outputs if id(y) in behind]
        if id(x) not in graph.computed_from(weighted):
            return True
        return self._grid(x) == self._grid(common)

    def _grid(self, x) -> tuple:
        layout = self._positions[id(x)]
        return tuple(x.shape[1:3]) if layout is None else layout.grid.shape

    def _mattering(self, last, users) -> keras.KerasTensor:
        """Last tokens through which all of the patches reach the calls behind.

        Where a class token is read, patches matter for the last time before the last
        attention, as that alone takes them to the class token.
        """
        if self.layout(last) is None:
            return last
        graph = self.graph
        outputs = [x for n in users for x in n.outputs if id(x) in self._lost]
        tokens = [x for x in self._tokens if id(last) in graph.computed_from([x])]
        for x in reversed(tokens):
            if self._decides(x, outputs):
                behind = graph.computed_from([x]) - {id(x)}
                nodes = [n for n in graph.nodes if id(n.outputs[0]) in behind]
                # patches matter before a single attention, hidden or not
                nodes = [n for n in nodes if attentions(n.operation) != 1]
                check_opaque(graph, nodes, self._extracted)
                return x
        return last

    def _decides(self, x, outputs) -> bool:
        """Test if outputs change with patches of these tokens, not of those besides."""
        rest = self.graph.bypasses(x, outputs)
        if rest is None:
            return False
        images = self.graph.computed_from(self.graph.images)
        tensors = [x, *rest]
        if any(self._positions.get(id(y)) is None and id(y) in images for y in rest):
            return False
        rng, batches = np.random.default_rng(0), []
        for y in tensors:
            arrays = rng.normal(size=(3, *y.shape[1:])).astype("float32")
            arrays[1:] = arrays[0]
            layout = self._positions.get(id(y))
            if layout is not None:
                # patches of x in the second, of the rest in the third
                index = 1 if y is x else 2
                patches = layout.grid.ravel()
                arrays[index, patches] = rng.normal(size=arrays[index, patches].shape)
            batches.append(arrays.astype(y.dtype))
        head = submodel(tensors, list(outputs))
        try:
            values = keras.tree.flatten(head(batches, training=False))
        except call_errors():
            return False
        values = [
            keras.ops.convert_to_numpy(keras.ops.cast(v, "float32")) for v in values
        ]
        noise = [SAME * np.abs(v).max() for v in values]
        moved = [
            any(
                np.abs(v[i] - v[0]).max() > n
                for v, n in zip(values, noise, strict=True)
            )
            for i in (1, 2)
        ]
        return moved == [True, False]

    def _check_layouts(self, last) -> None:
        """Raise a ValueError if nothing has positions, or attention loses them."""
        behind = self.graph.computed_from(self.graph.images)
        tokens, attended = {}, False
        for node in self.graph.nodes:
            for x in node.outputs:
                lost = id(x) in behind and id(x) not in self._positions
                if lost and len(x.shape) == TOKENS and x.shape[1] != 1:
                    tokens[self.graph.path(node)] = x
                    attended |= id(x) in self._lost and attentions(node.operation) > 0
        if tokens and (attended or not last):
            texts = [f"{name} {tuple(x.shape[1:])}" for name, x in tokens.items()]
            raise ValueError(
                "Expected tokens of patches, rows * cols of them or one more, in an "
                f"order that the graph shows. Received: reshape={self._reshape!r}, "
                f"{', '.join(texts[-SHOWN:])}. Use reshape='tokens' for reading order, "
                "the grid reshape=(rows, cols), or a layer with rows and columns."
            )
        if not last:
            names = [repr(self.graph.path(node)) for node in self._tail]
            raise ValueError(
                "A map needs a layer with rows and columns, (n, rows, cols, channels), "
                "or tokens of patches between image and logits. Received: a model "
                f"without one, {', '.join(names)} on the image."
            )

    def _check_one_image(self, last) -> None:
        """Raise a ValueError if it is open which of several images to explain."""
        behind = {x.name: self.graph.computed_from([x]) for x in self.graph.images}
        ends = {id(x) for x in last}
        images = {
            name: [path for path, x in self._named.items() if id(x) in ids & ends]
            for name, ids in behind.items()
        }
        if sum(map(bool, images.values())) > 1:
            texts = [f"{name} ({', '.join(paths)})" for name, paths in images.items()]
            raise ValueError(
                "Expected one input, the image, besides tables, and one output. "
                f"Received: {len(self.graph.inputs)} inputs, 1 outputs; images: "
                f"{', '.join(texts)}. Which is to be explained? Use layer=, a layer of "
                "that image alone."
            )


def _takes(node, tensor) -> bool:
    return any(x is tensor for x in node.input_tensors)


def _matching(layer: str, paths) -> list[str]:
    """Paths that a name stands for: itself, or those that end in it."""
    ends = [path for path in paths if path.endswith(f"/{layer}")]
    return [layer] if layer in paths else ends
