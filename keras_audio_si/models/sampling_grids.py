"""Sampling grids of the feature maps of a model: which maps share a grid, so that branches can be merged."""

import dataclasses

import keras
from keras import layers

from keras_audio_si.layers.padding import SpatialPadding

POOLS = (layers.MaxPooling1D, layers.MaxPooling2D, layers.AveragePooling1D, layers.AveragePooling2D)
CONVOLUTIONS = (
    layers.Conv1D,
    layers.Conv2D,
    layers.DepthwiseConv1D,
    layers.DepthwiseConv2D,
    layers.SeparableConv1D,
    layers.SeparableConv2D,
)

# Layers that change the size of a map at its borders alone, or by their strides.
_WINDOWED = (
    *POOLS,
    *CONVOLUTIONS,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.Cropping1D,
    layers.Cropping2D,
    SpatialPadding,
)
# Layers that may keep the size of a map, but not its positions.
_MOVING = (layers.Permute, layers.Reshape)
_PROBE_SIZE = 96


@dataclasses.dataclass(eq=False)
class Grid:
    """Sampling positions of a map. Two maps are aligned if their grids are the same object.

    Attributes:
        origin: Name of the layer that the grid comes from.
        adaptive: Whether the positions depend on the example.
        indices: Tensor with the components that were chosen, set by the first layer that samples on this grid.
    """

    origin: str
    adaptive: bool = False
    indices: object = None


class GridMap:
    """Follows the grids of the tensors of a functional model while it is built, layer by layer.

    Maps that are sampled from one grid with the same strides share a grid: the first layer chooses it, and the others
    use it. Branches with the same sampling steps are therefore aligned, and no others. The inputs of a model are on one
    grid, and a layer that keeps the size of a map is assumed to keep its positions.
    """

    def __init__(self):
        self._inputs = Grid("input")
        self._of = {}
        self._sampled = {}

    def __setitem__(self, tensor, grid):
        self._of[id(tensor)] = tensor, grid  # The tensor as well, so that its id stays its own.

    def common(self, layer, tensors):
        """The grid of all inputs of a layer; None where none of them is a map any more.

        Raises:
            ValueError: If they are on different ones; the message names the layer and where they part.
        """
        grids = {id(grid): grid for grid in map(self._grid, tensors) if grid is not None}
        if len(grids) > 1:
            origins = [
                f"{grid.origin!r} ({'adaptive' if grid.adaptive else 'at fixed positions'})" for grid in grids.values()
            ]
            raise ValueError(
                f"Adaptive sampling cannot be kept aligned in layer {layer.name!r}: its inputs are on the grids of "
                f"{' and '.join(origins)}, which are not known to match. Replace the strided convolutions as well "
                "(strided_convolutions=True) if one of these is one, or choose a mechanism without adaptive grids, "
                "such as 'blur5' or 'tlpf5'"
            )
        return next(iter(grids.values()), None)

    def sampled(self, parent, strides, adaptive, origin):
        """The grid that sampling `parent` with `strides` leads to; `origin` names it if it is new."""
        return self._sampled.setdefault((parent, tuple(strides), adaptive), Grid(origin, adaptive))

    def follow(self, layer, tensors, outputs, moves=False):
        """Notes the grids of the outputs of a layer that was not replaced.

        Args:
            layer: The layer, or operation.
            tensors: List of its input tensors.
            outputs: Its outputs, nested as they are.
            moves: Whether the layer is known not to keep positions.
        """
        grid = self.common(layer, tensors)
        for output in keras.tree.flatten(outputs):
            self[output] = self._after(layer, grid, tensors, output, moves)

    def _grid(self, tensor):
        return self._of.get(id(tensor), (tensor, self._inputs))[1]

    def _after(self, layer, grid, tensors, output, moves):
        sizes = output.shape[1:-1]
        if grid is None or all(size == 1 for size in sizes):
            return None  # Global pooling, dense layers: the output has no positions.
        if isinstance(layer, _WINDOWED):
            strides = getattr(layer, "strides", (1,))
            return self.sampled(grid, strides, False, layer.name) if max(strides) > 1 else grid
        if moves or isinstance(layer, _MOVING) or not _keeps_size(layer, tensors, output):
            return Grid(layer.name)
        return grid


def _keeps_size(layer, tensors, output):
    """Whether the output is as large as the largest input, unknown sizes included."""
    maps = [tensor for tensor in tensors if len(tensor.shape) == len(output.shape)]
    if None not in output.shape[1:-1]:
        return any(tensor.shape[1:-1] == output.shape[1:-1] for tensor in maps)
    if len(maps) != 1:
        return bool(maps)  # Maps that meet have one size, or could not.
    probe = (maps[0].shape[0], *(size or _PROBE_SIZE for size in maps[0].shape[1:]))
    found = layer.compute_output_spec(keras.KerasTensor(probe, maps[0].dtype))
    return keras.tree.flatten(found)[0].shape[1:-1] == probe[1:-1]
