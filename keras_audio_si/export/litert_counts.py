"""What a LiteRT file takes to run, counted from its graph: products, bytes of weights, bytes of activations."""

import json
import math
from typing import NamedTuple

import numpy as np

_BYTES = {"FLOAT32": 4, "INT32": 4, "FLOAT16": 2, "INT16": 2, "INT8": 1, "UINT8": 1, "BOOL": 1, "INT64": 8}
_WINDOWED = {"CONV_2D": slice(1, 4), "DEPTHWISE_CONV_2D": slice(1, 3), "FULLY_CONNECTED": slice(1, 2)}


class LiteRTCounts(NamedTuple):
    """What one window of audio takes.

    Attributes:
        seconds: Length of the window.
        products: Multiply-accumulates of convolutions and matrix products by the type of what they multiply, a dict
            such as `{"FLOAT32": 1200, "INT8": 300}`. Other operations are not counted.
        weight_bytes: Size of all constants.
        activation_bytes: Largest sum of the sizes of the maps that are needed at one time, if the operations run in
            the order of the file and memory is reused at once: a lower bound of what an interpreter takes.
    """

    seconds: float
    products: dict
    weight_bytes: int
    activation_bytes: int


def count_litert(path):
    """Counts what a LiteRT file takes.

    Args:
        path: File that `export_litert` wrote.

    Returns:
        `LiteRTCounts`.

    Raises:
        ImportError: If the extra `litert` is not installed.
    """
    from ai_edge_litert.interpreter import Interpreter
    from ai_edge_litert.tools import flatbuffer_utils

    metadata = Interpreter(str(path)).get_signature_runner("metadata")()["json"].tobytes()
    metadata = json.loads(metadata)
    model = flatbuffer_utils.read_model(str(path))
    (signature,) = (one for one in model.signatureDefs if one.signatureKey == b"serving_default")
    graph = model.subgraphs[signature.subgraphIndex]
    kinds = [flatbuffer_utils.opcode_to_name(model, operator.opcodeIndex) for operator in graph.operators]
    types = [flatbuffer_utils.type_to_name(tensor.type) for tensor in graph.tensors]
    shapes = [() if tensor.shape is None else tuple(map(int, tensor.shape)) for tensor in graph.tensors]
    products = {}
    for operator, kind in zip(graph.operators, kinds, strict=True):
        if count := _products(kind, operator, shapes):
            of = types[operator.inputs[0]]
            products[of] = products.get(of, 0) + count
    sizes = [math.prod(shape) * _BYTES[of] for shape, of in zip(shapes, types, strict=True)]
    constant = [model.buffers[tensor.buffer].data is not None for tensor in graph.tensors]
    buffers = {tensor.buffer for tensor, fixed in zip(graph.tensors, constant, strict=True) if fixed}
    return LiteRTCounts(
        seconds=metadata["window_samples"] / metadata["sample_rate"],
        products=products,
        weight_bytes=sum(len(model.buffers[buffer].data) for buffer in buffers),
        activation_bytes=_largest_sum(graph, [0 if fixed else n for n, fixed in zip(sizes, constant, strict=True)]),
    )


def _products(kind, operator, shapes):
    """Multiply-accumulates of an operator, 0 for one that is neither a convolution nor a product of matrices."""
    elements = math.prod(shapes[operator.outputs[0]])
    if kind in _WINDOWED:
        return elements * math.prod(shapes[operator.inputs[1]][_WINDOWED[kind]])
    if kind == "BATCH_MATMUL":
        return elements * math.prod(shapes[operator.inputs[0]]) // math.prod(shapes[operator.outputs[0]][:-1])
    return 0


def _largest_sum(graph, sizes):
    """Largest sum of the sizes of the tensors that live while one operator runs."""
    steps = len(graph.operators)
    alive = np.zeros(steps, "int64")
    born = dict.fromkeys(graph.inputs, 0)
    last = dict.fromkeys(graph.outputs, steps - 1)
    for step, operator in enumerate(graph.operators):
        born |= {number: step for number in operator.outputs if number not in born}
        last |= {n: max(step, last.get(n, 0)) for n in (*operator.inputs, *operator.outputs) if n >= 0}
    for number, step in born.items():
        alive[step : last.get(number, step) + 1] += sizes[number]
    return int(alive.max())
