"""Positions of tokens: which token of a transformer stands for which patch."""

import dataclasses
import functools
import math

import keras
import numpy as np
from keras import ops

from kerasloc.cams.backend import call_errors
from kerasloc.cams.graph import DIMENSIONS, Graph, unwrap

TOKENS = 3  # dimensions: images, tokens, channels
NOISE = 1e-4  # rounding noise of outputs, as a share of their maximum

TRANSPOSES = ("Permute", "Transpose", "SwapAxes", "Moveaxis", "Swapaxes")

Reshape = str | tuple[int, int] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Layout:
    """Grid of the tokens of patches, and the tokens besides them (class tokens).

    Args:
        grid: Index (rows, cols) of the token at every position.
        tokens: Number of all tokens.

    Examples:
        >>> layout = Layout(np.array([[1, 2], [3, 4]]), 5)  # a class token first
        >>> tokens = np.arange(5.0).reshape(1, 5, 1)
        >>> patches, rest = layout.lay(tokens)
        >>> np.asarray(patches)[0, ..., 0]
        array([[1., 2.],
               [3., 4.]])
        >>> np.array_equal(layout.unlay([patches, rest]), tokens)
        True
    """

    grid: np.ndarray
    tokens: int

    @functools.cached_property
    def rest(self) -> np.ndarray:
        """Indices of the tokens without a position."""
        return np.setdiff1d(np.arange(self.tokens), self.grid)

    def lay(self, x) -> list:
        """Split tokens (n, tokens, channels) to a grid and the rest, if there are."""
        patches = ops.take(x, self.grid.ravel(), axis=1)
        grid = ops.reshape(patches, (-1, *self.grid.shape, x.shape[-1]))
        return [grid, ops.take(x, self.rest, axis=1)] if self.rest.size else [grid]

    def unlay(self, tensors: list):
        """Join a grid (n, rows, cols, channels) and the rest to tokens again."""
        grid, *rest = tensors
        patches = ops.reshape(grid, (-1, self.grid.size, grid.shape[-1]))
        order = np.argsort(np.concatenate([self.grid.ravel(), self.rest]))
        return ops.take(ops.concatenate([patches, *rest], axis=1), order, axis=1)


def positions(graph: Graph, reshape: Reshape = None) -> dict[int, Layout | None]:
    """Find the tensors whose values have a position in the image.

    Args:
        graph: Graph from images to logits.
        reshape: As for :class:`~kerasloc.cams.core.Explainer`.

    Returns:
        Layout of tokens, None of tensors (n, rows, cols, channels), by tensors' ids.

    Examples:
        >>> from kerasloc.cams.graph import open_graph
        >>> image = keras.Input((8, 8, 1))
        >>> x = keras.layers.Conv2D(3, 4, 4)(image)
        >>> x = keras.layers.Reshape((4, 3))(x)
        >>> model = keras.Model(image, keras.ops.mean(x, axis=1))
        >>> positions(open_graph(model, model.outputs[0]))[id(x)].grid
        array([[0, 1],
               [2, 3]])
    """
    result: dict[int, Layout | None] = {id(x): None for x in graph.images}
    behind_images = graph.computed_from(graph.images)
    mixed: set[int] = set()  # computed from tokens
    moved: dict[int, list] = {}  # calls since a tensor of the result that only move it
    for node in graph.nodes:
        inputs = [x for x in node.input_tensors if id(x) in behind_images]
        layouts = [y for y in (result.get(id(x)) for x in inputs) if y is not None]
        if layouts or any(id(x) in mixed for x in inputs):
            mixed |= {id(x) for x in node.outputs}
        steps = _steps(node, inputs, result, moved)
        for index, x in enumerate(node.outputs if inputs else []):
            if len(x.shape) == DIMENSIONS and tuple(x.shape[1:3]) != (1, 1):
                plain = any(id(y) in result and result[id(y)] is None for y in inputs)
                grids = [layout.grid.shape for layout in layouts]
                spatial = id(x) not in mixed or plain or tuple(x.shape[1:3]) in grids
                if spatial and type(unwrap(node.operation)).__name__ not in TRANSPOSES:
                    result[id(x)] = None
            elif len(x.shape) == TOKENS and (x.shape[1] or 1) > 1:
                layout, local = (
                    _layout(steps, index, result) if steps else (None, False)
                )
                mode = "tokens" if local and reshape is None else reshape
                layout = layout or _assumed(graph, x.shape[1], mode)
                result |= {id(x): layout} if layout else {}
            if steps and id(x) not in result and not _weights(node):
                moved[id(x)] = steps
    for x in graph.images:
        del result[id(x)]
    return result


def _weights(node) -> list:
    return getattr(node.operation, "weights", None) or []


def _steps(node, inputs, result, moved) -> list:
    """Calls from the last tensor with positions, the first's first input, to a call."""
    for x in inputs:
        if id(x) in result:
            return [(x, node)]
    return next(([*moved[id(x)], (x, node)] for x in inputs if id(x) in moved), [])


def _layout(steps, index, result) -> tuple[Layout | None, bool]:
    """Layout of tokens that calls make of a tensor with positions.

    Second, whether a layer with weights makes them of overlapping patches.
    """
    (source, _), (_, node) = steps[0], steps[-1]
    count = node.outputs[index].shape[1]
    layout = result[id(source)]
    if layout is None and None in source.shape[1:]:
        return None, False
    if layout is None:
        groupings = [_blocks(source.shape[1:3], grid) for grid in _grids(count, source)]
    elif layout.tokens == count and _weights(node):
        return layout, False  # such a layer mixes tokens, or leaves them in order
    else:
        groups = np.zeros(layout.tokens, int)
        groups[layout.grid.ravel()] = 1 + np.arange(layout.grid.size)
        groupings = [(groups, layout.grid.shape)]
    local = False
    for groups, grid in groupings:
        codes = _codes(steps, index, groups)
        if codes is None or len(codes) != count:
            continue
        patches = np.flatnonzero(codes)
        order = patches[np.argsort(codes[patches])]
        if np.array_equal(codes[order], 1 + np.arange(math.prod(grid))):
            return Layout(order.reshape(grid), count), False
        everything = (1 << int(groups.max()).bit_length()) - 1
        local |= bool(_weights(node) and (codes[patches] != everything).any())
    return None, local


def _grids(count: int, x) -> list[tuple[int, int]]:
    """Grids of patches of a tensor that so many tokens may be made of."""
    rows, cols = x.shape[1:3]
    if count >= rows * cols:
        return [(rows, cols)]
    grids = [(r, n // r) for n in (count, count - 1) for r in range(1, n + 1)]
    fits = [
        (r, c)
        for r, c in grids
        if r * c >= count - 1 and (rows % r, cols % c) == (0, 0)
    ]
    return [(r, c) for r, c in fits if (r > 1 or rows == 1) and (c > 1 or cols == 1)]


def _blocks(size, grid) -> tuple[np.ndarray, tuple[int, int]]:
    """Number (rows, cols), from 1 on, of the patch that every position is in."""
    numbers = 1 + np.arange(math.prod(grid)).reshape(grid)
    shape = [side // count for side, count in zip(size, grid, strict=True)]
    return np.kron(numbers, np.ones(shape, int)), grid


def _codes(steps, index, groups) -> np.ndarray | None:
    """Groups (tokens,) of the source's positions that every token depends on.

    The bits of a group's number decide in which of several inputs it is changed; a
    token that depends on several groups has the bits of all of them.
    """
    bits = [groups >> bit & 1 for bit in range(int(groups.max()).bit_length())]
    masks = np.stack([np.zeros_like(groups), *bits]).astype(bool)[..., None]
    rng, source = np.random.default_rng(0), steps[0][0]
    tensors = {id(source): np.where(masks, _random(rng, source), _random(rng, source))}
    try:
        for _, node in steps:
            for x in node.input_tensors:
                fixed = x.shape[0] not in (None, source.shape[0])
                count = x.shape[0] if fixed else len(masks)
                if id(x) not in tensors:
                    tensors[id(x)] = np.repeat(_random(rng, x), count, axis=0)
                tensors[id(x)] = ops.cast(tensors[id(x)], x.dtype)
            args, kwargs = node.arguments.fill_in(tensors)
            outputs = keras.tree.flatten(unwrap(node.operation)(*args, **kwargs))
            tensors |= {id(x): y for x, y in zip(node.outputs, outputs, strict=True)}
        values = ops.convert_to_numpy(ops.cast(outputs[index], "float32"))
    except call_errors():  # of a layer that does not take these numbers
        return None
    noise = NOISE * np.abs(values).max()
    changed = (np.abs(values[1:] - values[:1]) > noise).any(axis=-1)
    return (changed << np.arange(len(changed))[:, None]).sum(axis=0)


def _random(rng, tensor) -> np.ndarray:
    """Random values (1, ...) as a tensor holds."""
    shape = (1, *tensor.shape[1:])
    return (
        rng.integers(0, 256, shape) if "int" in tensor.dtype else rng.normal(size=shape)
    )


def _assumed(graph: Graph, count: int, reshape: Reshape) -> Layout | None:
    """Layout of tokens on a grid in reading order, class tokens first."""
    if reshape is None:
        return None
    if isinstance(reshape, str):
        rows, cols = graph.images[0].shape[1:3] if graph.images else (None, None)
        ratio = rows / cols if rows and cols else 1
        grids = []
        for patches in (count, count - 1):
            down = max(1, round(math.sqrt(patches * ratio)))
            grids += [(down, patches // down)] if patches % down == 0 else []
        grids = [grid for grid in grids if abs(grid[0] / grid[1] / ratio - 1) < 1e-6]
        if not grids:
            return None
        reshape = grids[0]
    extra = count - math.prod(reshape)
    if not 0 <= extra < max(2, math.prod(reshape)):
        return None
    return Layout(extra + np.arange(math.prod(reshape)).reshape(reshape), count)
