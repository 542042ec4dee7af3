"""Timing of functions and layers on any backend, and tables of the results."""

import contextlib
import os
import pathlib
import platform
import statistics
import time

import keras
import numpy as np

from keras_audio_si.files import write_json


def compare(functions, rounds=9, warmup=2):
    """Times functions in turn, round after round, so that other load on the machine affects all of them.

    Args:
        functions: Dict of name to a function without arguments, which returns when its work is done. The first one
            is what the others are compared with.
        rounds: Number of timed rounds.
        warmup: Number of untimed calls of each function before, in which it compiles.

    Returns:
        List of dicts, one per function: `name`, `wall_ms` and `cpu_ms` (medians over the rounds), `wall_ratio` and
        `cpu_ratio` (medians of the ratios to the first function in the same round).

    Raises:
        ValueError: If there is nothing to time.

    Example:

    >>> rows = compare({"one": lambda: sum(range(10)), "two": lambda: sum(range(20))}, rounds=3, warmup=1)
    >>> [row["name"] for row in rows]
    ['one', 'two']
    """
    if not functions or rounds < 1:
        raise ValueError(
            f"`functions` and `rounds` must be at least one. Received: {len(functions)} functions, rounds={rounds}"
        )
    for function in functions.values():
        for _ in range(warmup):
            function()
    wall, cpu = {name: [] for name in functions}, {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            started, used = time.perf_counter(), time.process_time()
            function()
            wall[name].append((time.perf_counter() - started) * 1e3)
            cpu[name].append((time.process_time() - used) * 1e3)
    first = next(iter(functions))
    return [
        {
            "name": name,
            "wall_ms": statistics.median(wall[name]),
            "cpu_ms": statistics.median(cpu[name]),
            "wall_ratio": _median_ratio(wall[name], wall[first]),
            "cpu_ratio": _median_ratio(cpu[name], cpu[first]),
        }
        for name in functions
    ]


def _median_ratio(values, references):
    # If the clock is too coarse, the ratio is not a number.
    return statistics.median(a / b if b > 0 else float("nan") for a, b in zip(values, references, strict=True))


def forward_pass(layer, inputs, jit_compile, training=False):
    """The compiled call of a layer or model, as a function that returns when the outputs are computed.

    Args:
        layer: Layer or model.
        inputs: Its inputs, arrays in any structure.
        jit_compile: Whether TensorFlow compiles by XLA. JAX always does, PyTorch never here.
        training: The argument of that name, where the layer has one.

    Returns:
        Function without arguments.
    """
    return _compiled(layer, inputs, jit_compile, training, gradient=False)


def matmul_pass(size=1024):
    """The product of two float32 matrices, a reference for the speed of the machine, as `forward_pass`."""

    class Product(keras.layers.Layer):
        def call(self, pair):
            return keras.ops.matmul(pair[0], pair[1])

    random = np.random.default_rng(0)
    pair = [random.normal(size=(size, size)).astype("float32") for _ in range(2)]
    return forward_pass(Product(dtype="float32"), pair, jit_compile=False)


def gradient_pass(layer, inputs, jit_compile, training=False):
    """As `forward_pass`, with the gradient of the mean square of the output to the inputs and weights."""
    return _compiled(layer, inputs, jit_compile, training, gradient=True)


def _compiled(layer, inputs, jit_compile, training, gradient):
    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    arguments = {"training": training} if training else {}
    layer(inputs, **arguments)  # Builds it.
    build = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    return build(layer, inputs, jit_compile, arguments, gradient)


def _loss(outputs):
    squares = [keras.ops.mean(keras.ops.square(keras.ops.cast(x, "float32"))) for x in keras.tree.flatten(outputs)]
    return sum(squares)


def _tensorflow(layer, inputs, jit_compile, arguments, gradient):
    import tensorflow as tf

    def forward(inputs):
        return layer(inputs, **arguments)

    def backward(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = _loss(layer(inputs, **arguments))
        return tape.gradient(loss, [inputs, [weight.value for weight in layer.trainable_weights]])

    function = tf.function(backward if gradient else forward, jit_compile=jit_compile)

    def run():
        function(inputs)
        tf.test.experimental.sync_devices()

    return run


def _jax(layer, inputs, jit_compile, arguments, gradient):
    import jax

    # Copies: a training step donates the buffers of the model's own variables.
    weights, state = (
        [jax.numpy.array(variable.value) for variable in variables]
        for variables in (layer.trainable_variables, layer.non_trainable_variables)
    )

    def forward(inputs, weights, state):
        return layer.stateless_call(weights, state, inputs, **arguments)

    def backward(inputs, weights, state):
        return jax.grad(lambda inputs, weights: _loss(forward(inputs, weights, state)[0]), (0, 1))(inputs, weights)

    compiled = jax.jit(backward if gradient else forward)

    def run():
        nonlocal state
        results = jax.block_until_ready(compiled(inputs, weights, state))
        if not gradient:
            state = results[1]  # Random layers draw anew.

    return run


def _torch(layer, inputs, jit_compile, arguments, gradient):
    import torch

    def run():
        if gradient:
            leaves = keras.tree.map_structure(lambda x: x.detach().requires_grad_(x.is_floating_point()), inputs)
            layer.zero_grad()
            _loss(layer(leaves, **arguments)).backward()
        else:
            with torch.no_grad():
                layer(inputs, **arguments)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    return run


def compilation(jit_compile):
    """Resolves the choice None, which is yes but on PyTorch, and names what it means on the backend.

    Returns:
        Pair of a bool and its description.
    """
    torch = keras.backend.backend() == "torch"
    jit_compile = not torch if jit_compile is None else jit_compile
    return jit_compile, ("torch.compile" if jit_compile else "eager") if torch else ("XLA" if jit_compile else "no XLA")


@contextlib.contextmanager
def precision_policy(precision):
    """Builds models under "float32", or under Keras' mixed policy of "bfloat16" or "float16"."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def report(bench, rows, settings, title, json_path=None):
    """Prints the rows of a bench as a table and, if wanted, writes them to a JSON file.

    Args:
        bench: Name of the bench.
        rows: List of dicts with the same keys.
        settings: Dict of what was measured.
        title: Line above the table, behind the backend.
        json_path: The JSON file, or None. It appears when it is complete.
    """
    print(format_rows(rows, f"{keras.backend.backend()}, {title}"))
    if json_path is None:
        return
    record = {"bench": bench, "settings": settings, "machine": machine(), "rows": rows}
    write_json(json_path, record, indent=2)
    print(f"JSON: {json_path}")


def check_json_path(json_path):
    """Makes the folder of a JSON file, so that a bench does not fail at its end."""
    if json_path is not None:
        pathlib.Path(json_path).parent.mkdir(parents=True, exist_ok=True)


def machine():
    """Versions, processors and, if there is one, the accelerator, to interpret the times."""
    backend = keras.backend.backend()
    return {
        "backend": backend,
        "backend_version": __import__(backend).__version__,
        "keras": keras.version(),
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "devices": [str(device) for device in keras.distribution.list_devices()]
        if backend != "torch"
        else _torch_gpus(),
    }


def _torch_gpus():
    import torch

    return [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]


def format_rows(rows, title):
    """Writes rows as an aligned table.

    Example:

    >>> print(format_rows([{"name": "a", "wall_ms": 1.5}, {"name": "plain", "wall_ms": None}], "title"))
    title
    name   wall ms
    a         1.50
    plain        -
    """
    header = [name.replace("_", " ") for name in rows[0]]
    lines = [header, *([_cell(value) for value in row.values()] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = [any(isinstance(row[name], str) for row in rows) for name in rows[0]]
    aligned = [
        "  ".join(
            cell.ljust(w) if is_left else cell.rjust(w) for cell, w, is_left in zip(line, widths, left, strict=True)
        )
        for line in lines
    ]
    return "\n".join([title, *(line.rstrip() for line in aligned)])


def _cell(value):
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
