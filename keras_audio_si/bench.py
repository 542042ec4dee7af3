"""What the pooling mechanisms cost beside plain max pooling, in the same run."""

import statistics
import time

import keras
import numpy as np

POOLINGS = ("max", "blur5", "tlpf5", "aps", "tlpf5+aps")


def compare(functions, rounds=9, warmup=2):
    """Time functions in turn, round after round, so that a load from elsewhere meets all of them.

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
        raise ValueError(f"compare needs functions and at least 1 round, got {len(functions)} and rounds={rounds}")
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
    # A clock too coarse for the work shows nothing: such a ratio is not a number.
    return statistics.median(a / b if b > 0 else float("nan") for a, b in zip(values, references, strict=True))


def bench_pooling(
    batch_size=32,
    pooling=POOLINGS,
    rounds=9,
    jit=True,
    precision="float32",
    input_shape=(101, 96),
    num_classes=200,
    width=1.0,
):
    """Compare VGG41 with each pooling mechanism to VGG41 with `MaxPooling2D`: one forward pass, one training step.

    Args:
        batch_size: Examples in a batch.
        pooling: Names of the mechanisms; see `layers.build_pooling`.
        rounds: Number of timed rounds.
        jit: Whether the models are compiled by XLA. JAX always compiles the forward pass.
        precision: "float32", "bfloat16" or "float16"; the latter two are Keras' mixed policies.
        input_shape: Frames and mel bands.
        num_classes: Number of classes.
        width: Factor on the number of filters.

    Returns:
        List of dicts as of `compare`, with `pass` ("forward" or "step") as well; also printed as a table.

    Reference:
        fonseca2021, section III.
    """
    random = np.random.default_rng(0)
    x = random.normal(size=(batch_size, *input_shape)).astype("float32")
    y = (random.random((batch_size, num_classes)) < 0.02).astype("float32")
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
    try:
        models = {
            name: _model(kind, num_classes, input_shape, width, jit)
            for name, kind in {"MaxPooling2D": _keras_max_pooling, **{name: name for name in pooling}}.items()
        }
    finally:
        keras.config.set_dtype_policy(before)
    rows = []
    for kind, build in (("forward", _forward), ("step", _step)):
        found = compare({name: build(model, x, y, jit) for name, model in models.items()}, rounds)
        rows += [{"pass": kind, **row} for row in found]
    title = f"{keras.backend.backend()}, {'XLA' if jit else 'no XLA'}, {precision}, batch {batch_size}"
    print(format_rows(rows, title))
    return rows


def format_rows(rows, title):
    """Write the rows of `bench_pooling` as an aligned table."""
    lines = [title, f"{'pass':8} {'pooling':14} {'wall ms':>9} {'cpu ms':>9} {'wall ratio':>11} {'cpu ratio':>10}"]
    lines += [
        f"{row['pass']:8} {row['name']:14} {row['wall_ms']:9.1f} {row['cpu_ms']:9.1f} "
        f"{row['wall_ratio']:11.2f} {row['cpu_ratio']:10.2f}"
        for row in rows
    ]
    return "\n".join(lines)


def _keras_max_pooling():
    return keras.layers.MaxPooling2D(2, padding="same")


def _model(pooling, num_classes, input_shape, width, jit):
    from keras_audio_si.models import VGG41

    model = VGG41(num_classes, input_shape, pooling=pooling, width=width)
    model.compile("adam", "binary_crossentropy", jit_compile=jit)
    return model


def _step(model, x, y, jit):
    return lambda: model.train_on_batch(x, y)


def _forward(model, x, y, jit):
    """The bare compiled forward pass, which ends when its scores are in memory."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        compiled, batch = tf.function(lambda x: model(x, training=False), jit_compile=jit), tf.constant(x)
        return lambda: compiled(batch).numpy()
    if backend == "jax":
        import jax

        # Copies: a training step donates the buffers of the model's own variables.
        weights, state = (
            [jax.numpy.array(variable.value) for variable in variables]
            for variables in (model.trainable_variables, model.non_trainable_variables)
        )
        compiled, batch = jax.jit(lambda *args: model.stateless_call(*args, training=False)[0]), jax.numpy.asarray(x)
        return lambda: compiled(weights, state, batch).block_until_ready()
    batch = keras.ops.convert_to_tensor(x)

    def forward():
        import torch

        with torch.no_grad():
            return keras.ops.convert_to_numpy(model(batch, training=False))

    return forward
