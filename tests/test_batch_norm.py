"""Batch norm equals Keras's layer to rounding, whose float64 results on one device are the oracle.

Over several replicas, it is that of the global batch.
"""

import collections
from pathlib import Path

import numpy
import pytest
from experiments import MIRRORED, SGD, weights

from imgcls.run import Run
from imgcls.verbs import train

PRECISIONS = {"float64": 1e-12, "float32": 1e-6, "mixed_float16": 1e-3, "mixed_bfloat16": 8e-3}
"""The error that rounding explains, as a fraction of the largest number."""
STATISTICS = ("moving_mean", "moving_variance")


def make_layer(precision, synchronized=False):
    from imgcls.backend import keras
    from imgcls.models._batch_norm import BatchNorm

    keras.config.set_dtype_policy(precision)
    return BatchNorm("batch_norm")


def make_keras_layer(precision, synchronized=False):
    from imgcls.backend import keras

    keras.config.set_dtype_policy(precision)
    return keras.layers.BatchNormalization(synchronized=synchronized)


def get_strategy(replicas):
    from imgcls.backend import tf
    from imgcls.distributed.cluster import SINGLE_PROCESS
    from imgcls.strategies import mirrored

    if replicas == 1:
        return tf.distribute.OneDeviceStrategy("CPU:0")
    return mirrored.build(mirrored.Settings(name="mirrored", replicas=replicas), SINGLE_PROCESS)


def make_batch(precision, mean=3.0, shape=(12, 5, 4, 8)):
    """Return inputs and gradients of outputs, float64, that the compute dtype represents."""
    from imgcls.backend import tf

    random = numpy.random.default_rng(0)
    arrays = random.normal(mean, 1, shape), random.normal(0, 1, shape)
    dtype = precision.removeprefix("mixed_")
    return [tf.cast(tf.cast(array, dtype), tf.float64).numpy() for array in arrays]


def run(make, precision, batch, replicas=1, training=True, trainable=True, jit_compile=False):
    """Return all results of a step as float64, and the operations of its graph."""
    from imgcls.backend import tf

    strategy = get_strategy(replicas)
    with strategy.scope():
        layer = make(precision, synchronized=replicas > 1)
        layer.build((None, *batch[0].shape[1:]))
        layer.trainable = trainable
        random = numpy.random.default_rng(1)
        for weight in layer.weights:
            weight.assign(random.uniform(0.5, 1.5, weight.shape))

    def compute(inputs, upstream):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
        sources = [inputs, layer.gamma.value, layer.beta.value]
        return outputs, *tape.gradient(outputs, sources, upstream)

    compiled = tf.function(compute, jit_compile=True) if jit_compile else compute
    rows = len(batch[0]) // replicas

    def run_on_replica(*batch):
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * rows
        local = [each[first : first + rows] for each in batch]
        return compiled(*(tf.cast(each, layer.compute_dtype) for each in local))

    step = tf.function(lambda *batch: strategy.run(run_on_replica, args=batch))
    results = [
        [tf.cast(each, tf.float64).numpy() for each in strategy.experimental_local_results(result)]
        for result in step(*map(tf.constant, batch))
    ]
    named = dict(zip(("outputs", "inputs"), map(numpy.concatenate, results[:2]), strict=True))
    named |= dict(zip(("gamma", "beta"), map(sum, results[2:]), strict=True))
    named |= {name: getattr(layer, name).numpy().astype(float) for name in STATISTICS}
    graph = step.get_concrete_function(*map(tf.constant, batch)).graph.as_graph_def()
    nodes = [*graph.node, *(node for each in graph.library.function for node in each.node_def)]
    return named, collections.Counter(node.op for node in nodes)


def assert_close(actual, expected, tolerance):
    """Compare to a fraction of the largest number; the statistics are in float32 at least."""
    assert list(actual) == list(expected)
    for name, array in expected.items():
        limit = min(tolerance, 1e-6) if name in STATISTICS else tolerance
        error = numpy.abs(actual[name] - array).max()
        assert error <= limit * numpy.abs(array).max(), name


@pytest.mark.parametrize("replicas", [1, 2])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_equals_keras_on_the_global_batch(precision, replicas):
    batch = make_batch(precision)
    actual, _ = run(make_layer, precision, batch, replicas)
    expected, _ = run(make_keras_layer, "float64", batch)
    assert_close(actual, expected, PRECISIONS[precision])


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_large_mean_does_not_cancel(replicas):
    """In float32, 100 is rounded by 4e-6; Keras's synchronized outputs are wrong by 7e-4."""
    batch = make_batch("float32", mean=100.0)
    actual, _ = run(make_layer, "float32", batch, replicas)
    expected, _ = run(make_keras_layer, "float64", batch)
    assert_close(actual, expected, 3e-5)


def test_replicas_with_other_means_share_the_statistics_of_all_rows():
    inputs, upstream = make_batch("float32")
    inputs[:6] += 10.0
    inputs = inputs.astype(numpy.float32).astype(float)
    actual, _ = run(make_layer, "float32", (inputs, upstream), 2)
    expected, _ = run(make_keras_layer, "float64", (inputs, upstream))
    assert_close(actual, expected, 2e-6)


@pytest.mark.parametrize("replicas", [1, 2])
def test_one_pixel_has_a_variance_of_0(replicas):
    batch = make_batch("float32", shape=(replicas, 1, 1, 8))
    if replicas == 2:
        batch[0][1] = batch[0][0]
    actual, _ = run(make_layer, "float32", batch, replicas)
    expected, _ = run(make_keras_layer, "float64", batch)
    for name, array in expected.items():
        numpy.testing.assert_allclose(actual[name], array, rtol=1e-6, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("replicas", [1, 2])
def test_inputs_without_height_and_width_are_normalized_too(replicas):
    batch = make_batch("float32", mean=0.5, shape=(12, 8))
    actual, _ = run(make_layer, "float32", batch, replicas)
    expected, _ = run(make_keras_layer, "float64", batch)
    assert_close(actual, expected, 1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("case", [{"training": False}, {"trainable": False}])
def test_inference_and_frozen_layers_compute_keras_bits_without_fused_kernels(precision, case):
    """The gradient of the fused kernel with the moving averages is not deterministic on a GPU."""
    batch = make_batch(precision)
    actual, ops = run(make_layer, precision, batch, **case)
    expected, _ = run(make_keras_layer, precision, batch, **case)
    for name, array in expected.items():
        numpy.testing.assert_array_equal(actual[name], array, err_msg=name)
    assert not any(op.startswith("FusedBatchNorm") for op in ops)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_one_device_uses_fused_kernels_and_two_share_one_all_reduce_each_way(precision):
    batch = make_batch(precision)
    _, ops = run(make_layer, precision, batch)
    assert ops["FusedBatchNormV3"] == ops["FusedBatchNormGradV3"] == 1
    _, ops = run(make_layer, precision, batch, replicas=2)
    assert ops["CollectiveReduceV2"] == 2 * 2


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_xla_compiles_it_on_one_device(precision):
    batch = make_batch(precision, mean=0.5)
    actual, _ = run(make_layer, precision, batch, jit_compile=True)
    expected, _ = run(make_keras_layer, "float64", batch)
    assert_close(actual, expected, PRECISIONS[precision])


@pytest.mark.parametrize("strategy", ["train.strategy={name: one_device}", MIRRORED])
def test_micro_batches_train_to_the_weights_of_keras_layer(digits, monkeypatch, strategy):
    from imgcls.backend import keras, tf
    from imgcls.models import _batch_norm

    def make_keras_layer(name):
        return keras.layers.BatchNormalization(
            name=name, synchronized=tf.distribute.get_strategy().num_replicas_in_sync > 1
        )

    settings = (
        *("train.micro_batch_size=64", "train.epochs=1", "model.batch_norm=true"),
        *("model.dropout=0", f"train.optimizer={SGD % 0.01}", strategy),
    )
    train.train(digits(*settings), Path("own"))
    monkeypatch.setattr(_batch_norm, "BatchNorm", make_keras_layer)
    train.train(digits(*settings), Path("keras"))
    for own, other in zip(*(weights(Run(Path(name))) for name in ("own", "keras")), strict=True):
        numpy.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


def test_the_layer_is_saved_as_keras_layer_with_the_same_weights(tmp_path):
    from imgcls.backend import keras
    from imgcls.models._batch_norm import BatchNorm
    from imgcls.training.model_file import make_plain_model

    with get_strategy(2).scope():
        images = keras.Input((4, 4, 3))
        model = keras.Model(images, BatchNorm("batch_norm")(images))
    for weight in model.weights:
        weight.assign(numpy.random.default_rng(0).uniform(1, 2, weight.shape))
    make_plain_model(model).save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    layer, own = loaded.get_layer("batch_norm"), model.get_layer("batch_norm")
    assert type(layer) is keras.layers.BatchNormalization
    assert not layer.synchronized
    assert [weight.path for weight in layer.weights] == [weight.path for weight in own.weights]
    batch = numpy.random.default_rng(1).normal(size=(5, 4, 4, 3)).astype(numpy.float32)
    numpy.testing.assert_array_equal(loaded(batch), model(batch))
