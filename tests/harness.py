"""The contract that every layer and model of the package keeps, checked for one case at a time."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

_OUTPUTS = {}  # Of cases that were computed.


@dataclasses.dataclass(frozen=True)
class Case:
    """A layer or model and an input for it.

    Attributes:
        name: Name of the case.
        build: Returns a new layer or model.
        inputs: Returns the input for a random generator, a float32 array with at least three examples.
        half: Largest relative distance between float32 and half precision outputs; None where outputs may jump (an
            adaptive grid) and only finiteness is checked.
        dynamic: Input shape with the time (and, for maps, mel) left open, or None where the layer fixes it.
        rounding: Relative distance of outputs that differ by their rounding, in another batch or on another backend.
    """

    name: str
    build: Callable
    inputs: Callable
    half: float | None = 0.05
    dynamic: tuple | None = None
    rounding: float = 1e-5


def numpy(x):
    return np.asarray(ops.convert_to_numpy(x))


def built(case, x):
    """The layer or model of the case with random weights from a fixed seed, the same on every backend."""
    keras.utils.set_random_seed(0)
    layer = case.build()
    if not layer.built:
        layer.build(x.shape)
    rng = np.random.default_rng(7)
    values = []
    for weight in layer.weights:
        n = rng.standard_normal(tuple(weight.shape))
        if weight.path.endswith(("variance", "gamma")):
            values.append(1 + 0.1 * np.abs(n))
        elif weight.path.endswith("kernel"):
            values.append(n * np.sqrt(2 / np.prod(weight.shape[:-1])))
        elif weight.path.endswith("/taps") or weight.constraint is not None:
            values.append(numpy(weight))
        else:
            values.append(0.1 * n)
    layer.set_weights(values)
    return layer


def inference(layer):
    """The layer as a function; on JAX compiled as a whole, since eager JAX compiles every operation by itself."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(lambda x: layer(x, training=False))
    return lambda x: layer(x, training=False)


def run(layer, x):
    """The output for inference."""
    return inference(layer)(x)


def outputs(case, x):
    """The output of a new layer or model of the case, computed once for all checks."""
    key = case, x.shape, x.tobytes()
    if key not in _OUTPUTS:
        _OUTPUTS[key] = numpy(run(built(case, x), x))
    return _OUTPUTS[key]


def compiled_training_call(layer, x, runs=None, jit_compile=True):
    """The output of a layer without weights called in training, compiled; a list of them for a number of `runs`.

    TensorFlow's graphs are compiled by XLA if `jit_compile` is set.
    """
    x = keras.tree.map_structure(ops.convert_to_tensor, x)
    backend, results = keras.backend.backend(), []
    if backend == "tensorflow":
        import tensorflow as tf

        function = tf.function(lambda x: layer(x, training=True), jit_compile=jit_compile)
    elif backend == "jax":
        import jax

        call = jax.jit(lambda x, state: layer.stateless_call([], state, x, training=True))
        state = [variable.value for variable in layer.non_trainable_variables]
    for _ in range(runs or 1):
        if backend == "jax":
            y, state = call(x, state)
        else:
            y = function(x) if backend == "tensorflow" else layer(x, training=True)
        results.append(keras.tree.map_structure(numpy, y))
    return results if runs else results[0]


def traced(function, *arrays, jit_compile=False):
    """The result of a function as NumPy arrays, in a graph of TensorFlow, compiled by JAX, or called on PyTorch."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        function = tf.function(function, jit_compile=jit_compile)
    return computed(function, *arrays)


def computed(function, *tensors, **settings):
    """The result of a function as NumPy arrays; on JAX compiled as a whole, see `run`."""

    def call(*tensors):
        return function(*tensors, **settings)

    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(call)
    return keras.tree.map_structure(numpy, call(*keras.tree.map_structure(ops.convert_to_tensor, tensors)))


def slopes(function, *arrays, weights=1.0, check=None):
    """Gradients of `sum(function(*arrays)[0] * weights)`, compiled where the backend compiles.

    The results of the same compiled programs go to `check`. On TensorFlow there are two, with XLA and without.
    """
    backend = keras.backend.backend()

    def weighted(*tensors):
        results = function(*tensors)
        return ops.sum(ops.multiply(results[0], weights)), results

    if backend == "jax":
        import jax

        places = tuple(range(len(arrays)))
        programs = [jax.jit(jax.grad(weighted, places, has_aux=True))]
    elif backend == "tensorflow":
        import tensorflow as tf

        def run(*tensors):
            with tf.GradientTape() as tape:
                tape.watch(tensors)
                value, results = weighted(*tensors)
            return tape.gradient(value, tensors), results

        programs = [tf.function(run, jit_compile=jit) for jit in (True, False)]
        arrays = [tf.constant(a) for a in arrays]
    else:
        import torch

        def run(*tensors):
            value, results = weighted(*tensors)
            return torch.autograd.grad(value, tensors), results

        programs, arrays = [run], [torch.tensor(a, requires_grad=True) for a in arrays]
    found = []
    for program in programs:
        gradients, results = program(*arrays)
        found.append([ops.convert_to_numpy(g) for g in gradients])
        if check is not None:
            check(*[ops.convert_to_numpy(y) for y in results])
    for one, other in zip(found[0], found[-1], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    return found[0]


def central_differences(function, array, positions, step=1e-4):
    """Slopes of a NumPy function in float64 at a few positions of one argument."""
    found = []
    for position in positions:
        moved = [array.astype("float64") for _ in range(2)]
        moved[0][position] += step
        moved[1][position] -= step
        found.append((function(moved[0]) - function(moved[1])) / (2 * step))
    return np.array(found)


def spread(shape, count=24):
    flat = np.linspace(0, np.prod(shape) - 1, min(count, int(np.prod(shape)))).astype(int)
    return list(zip(*np.unravel_index(flat, shape), strict=True))


def gradients(layer, x):
    """Gradients of the sum of squares of the output with respect to the input and the trainable weights."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.square(layer(x, training=False)))
        return [numpy(g) for g in tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])]
    if backend == "jax":
        import jax

        frozen = [w.value for w in layer.non_trainable_variables]

        def loss(x, trainable):
            outputs, _ = layer.stateless_call(trainable, frozen, x)
            return (outputs**2).sum()

        trainable = [w.value for w in layer.trainable_variables]
        on_input, on_weights = jax.jit(jax.grad(loss, argnums=(0, 1)))(x, trainable)
        return [numpy(on_input), *(numpy(g) for g in on_weights)]
    import torch

    x = torch.tensor(x, requires_grad=True)
    layer.zero_grad()
    (layer(x, training=False) ** 2).sum().backward()
    return [x.grad.cpu().numpy(), *(w.value.grad.cpu().numpy() for w in layer.trainable_weights)]


def check_config_round_trip(case, x, folder):
    layer = built(case, x)
    clone = type(layer).from_config(layer.get_config())
    clone.build(x.shape)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(numpy(run(clone, x)), outputs(case, x))
    if isinstance(layer, keras.Model):
        model = layer
    else:
        inputs = keras.Input(x.shape[1:])
        model = keras.Model(inputs, layer(inputs))
    path = folder / "case.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(numpy(run(loaded, x)), outputs(case, x))


def check_symbolic_shape(case, x):
    symbolic = built(case, x)(keras.KerasTensor((None, *x.shape[1:])))
    assert symbolic.shape == (None, *outputs(case, x).shape[1:])
    assert keras.backend.standardize_dtype(outputs(case, x).dtype) == symbolic.dtype


def check_jit(case, x, jit_compile, known):
    """A graph of TensorFlow, with XLA or without, against its own kernels.

    Known in advance are "all" sizes, all but the "batch", or as few as the case allows ("any").
    """
    import tensorflow as tf

    layer = built(case, x)
    wanted = numpy(layer(x, training=False))
    shape = {"all": x.shape, "batch": (None, *x.shape[1:]), "any": case.dynamic or (None, *x.shape[1:])}[known]
    function = tf.function(lambda x: layer(x, training=False), [tf.TensorSpec(shape)], jit_compile=jit_compile)
    atol = max(1e-5, 0.2 * case.rounding * np.abs(wanted).max())
    np.testing.assert_allclose(numpy(function(x)), wanted, rtol=1e-4, atol=atol)


def check_mixed_precision(case, x, policy):
    wanted = outputs(case, x)
    keras.config.set_dtype_policy(policy)
    try:
        layer = built(case, x)
        got = run(layer, x)
        assert keras.backend.standardize_dtype(got.dtype) in (layer.compute_dtype, "float32")
        got = numpy(ops.cast(got, "float32"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(got).all()
    if case.half is not None:
        np.testing.assert_allclose(got, wanted, rtol=case.half, atol=case.half * np.abs(wanted).max())


def check_gradients(case, x):
    layer = built(case, x)
    on_input, *on_weights = gradients(layer, x)
    for g in (on_input, *on_weights):
        assert np.isfinite(g).all()
        assert np.abs(g).max() > 0


def check_batch_independence(case, x):
    layer = built(case, x)
    function = inference(layer)
    others = np.concatenate([x[:1], 30 * x[1:]])
    alone = numpy(function(x[:1]))
    # Sums of a batch may be added up in another order, which small differences of large numbers show.
    tolerance = {"rtol": case.rounding, "atol": 0.2 * case.rounding * max(0.5, np.abs(alone).max())}
    np.testing.assert_allclose(numpy(function(x))[:1], alone, **tolerance)
    np.testing.assert_allclose(numpy(function(others))[:1], alone, **tolerance)
