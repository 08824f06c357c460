"""Dropout masks are functions of (seed, step, row in the global batch)."""

import numpy
import pytest
import scipy.stats

from imgcls.backend import keras, tf
from imgcls.models._dropout import Dropout
from imgcls.training.model_file import make_plain_model


def drop(inputs, rate=0.3, seed=5, step=2, first_row=0, precision="float32", training=True):
    layer = Dropout(rate, seed, dtype=precision)
    position = {"step": tf.constant(step), "first_row": tf.constant(first_row)}
    return tf.cast(layer(inputs, training=training, **position), tf.float64).numpy()


@pytest.mark.parametrize("shape", [(8,), (7,), (3, 5, 2), (1,)])
def test_rows_have_the_masks_that_they_have_in_the_whole_batch(shape):
    whole = drop(numpy.ones((12, *shape), numpy.float32))
    for first, rows in ((0, 6), (6, 6), (4, 3), (11, 1)):
        local = drop(numpy.ones((rows, *shape), numpy.float32), first_row=first)
        numpy.testing.assert_array_equal(local, whole[first : first + rows])


@pytest.mark.parametrize("noise_shape", [(None, 1, 1), (None, 5, 1), (None, 1, 2)])
def test_a_noise_shape_is_that_of_the_mask_and_rows_stay_their_own(noise_shape):
    position = {"training": True, "step": tf.constant(2)}
    layer = Dropout(0.5, 5, noise_shape=noise_shape)
    whole = layer(tf.ones((60, 5, 2)), first_row=tf.constant(0), **position).numpy()
    mask = whole[:, : noise_shape[1], : noise_shape[2]]
    numpy.testing.assert_array_equal(whole, numpy.broadcast_to(mask, whole.shape))
    assert scipy.stats.binomtest(int((mask == 0).sum()), mask.size, 0.5).pvalue > 1e-3
    local = layer(tf.ones((7, 5, 2)), first_row=tf.constant(30), **position)
    numpy.testing.assert_array_equal(local, whole[30:37])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("precision", ["float64", "float32", "mixed_float16", "mixed_bfloat16"])
def test_the_fraction_that_is_dropped_is_the_rate_in_every_precision(rate, precision):
    outputs = drop(numpy.ones((200, 101), numpy.float32), rate, precision=precision)
    dropped = int((outputs == 0).sum())
    assert scipy.stats.binomtest(dropped, outputs.size, rate).pvalue > 1e-3
    rounding = {"mixed_float16": 1e-3, "mixed_bfloat16": 8e-3}.get(precision, 1e-6)
    numpy.testing.assert_allclose(outputs[outputs > 0], 1 / (1 - rate), rtol=rounding)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.3])
@pytest.mark.parametrize("precision", ["float64", "float32", "mixed_float16", "mixed_bfloat16"])
def test_xla_and_precision_do_not_change_the_masks(rate, precision):
    inputs = numpy.random.default_rng(0).uniform(1, 2, (12, 3, 5)).astype(numpy.float32)
    compiled = tf.function(Dropout(rate, 5, dtype=precision), jit_compile=True)
    position = {"step": tf.constant(2), "first_row": tf.constant(3)}
    with_xla = tf.cast(compiled(inputs, training=True, **position), tf.float64).numpy()
    plain = drop(inputs, rate, first_row=3, precision=precision)
    numpy.testing.assert_array_equal(with_xla, plain)
    numpy.testing.assert_array_equal(plain != 0, drop(inputs, rate, first_row=3) != 0)


@pytest.mark.parametrize("other", [{"step": 3}, {"seed": 6}, {"first_row": 50}])
def test_masks_of_other_steps_layers_and_rows_are_independent(other):
    ones = numpy.ones((50, 101), numpy.float32)
    one, two = drop(ones, 0.5) > 0, drop(ones, 0.5, **other) > 0
    assert scipy.stats.binomtest(int((one == two).sum()), one.size, 0.5).pvalue > 1e-3


@pytest.mark.parametrize("changes", [{"training": False}, {"rate": 0.0}])
def test_nothing_is_dropped_in_inference_or_at_a_rate_of_0(changes):
    inputs = numpy.random.default_rng(0).normal(size=(4, 5)).astype(numpy.float32)
    numpy.testing.assert_array_equal(drop(inputs, **changes), inputs)


def test_the_gradient_passes_where_units_are_kept():
    inputs = tf.constant(numpy.random.default_rng(0).normal(size=(4, 50)).astype(numpy.float32))
    layer = Dropout(0.5, 1)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True, step=tf.constant(0), first_row=tf.constant(0))
    numpy.testing.assert_array_equal(
        tape.gradient(outputs, inputs), numpy.where(outputs.numpy() == 0, 0, 2)
    )


def test_the_layer_is_saved_as_keras_layer(tmp_path):
    images = keras.Input((4,))
    model = keras.Model(images, Dropout(0.3, 7, name="dropout")(images))
    assert not model.weights
    make_plain_model(model).save(tmp_path / "model.keras")
    layer = keras.models.load_model(tmp_path / "model.keras").get_layer("dropout")
    assert type(layer) is keras.layers.Dropout
    assert (layer.rate, layer.seed) == (0.3, 7)
