"""Losses against Keras's."""

import numpy
import pytest
from experiments import MIRRORED, RICH, SGD, assert_same_result, experiment, weights

from imgcls import parts
from imgcls.backend import keras, tf
from imgcls.errors import Interrupted
from imgcls.evaluation import predictions
from imgcls.run import Run
from imgcls.verbs.evaluate import evaluate
from imgcls.verbs.train import train

LOGITS = numpy.random.default_rng(0).normal(size=(7, 5)).astype(numpy.float32) * 4
SMOOTHED = "train.loss={name: cross_entropy, label_smoothing: 0.3}"
LABELS = numpy.array([0, 4, 2, 2, 1, 3, 0], numpy.int32)


def cross_entropy(targets, logits, **settings):
    part = parts.load("losses", "cross_entropy")
    chosen = part.Settings(name="cross_entropy", **settings)
    return part.compute(chosen, tf.constant(targets), tf.constant(logits)).numpy()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.6])
@pytest.mark.parametrize("as_labels", [True, False])
def test_cross_entropy_is_keras_categorical_cross_entropy(smoothing, as_labels):
    one_hot = numpy.eye(5, dtype=numpy.float32)[LABELS]
    oracle = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing, reduction=None
    )
    ours = cross_entropy(LABELS if as_labels else one_hot, LOGITS, label_smoothing=smoothing)
    numpy.testing.assert_allclose(ours, oracle(one_hot, LOGITS), rtol=1e-6, atol=1e-6)


def test_mixed_targets_are_smoothed_as_keras_smooths_them():
    mixed = numpy.random.default_rng(1).dirichlet(numpy.ones(5), 7).astype(numpy.float32)
    oracle = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.2, reduction=None
    )
    ours = cross_entropy(mixed, LOGITS, label_smoothing=0.2)
    numpy.testing.assert_allclose(ours, oracle(mixed, LOGITS), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 2.0])
def test_a_smoothing_that_leaves_no_target_is_refused(smoothing):
    with pytest.raises(ValueError, match="label_smoothing"):
        parts.load("losses", "cross_entropy").Settings(
            name="cross_entropy", label_smoothing=smoothing
        )


def test_without_smoothing_every_bit_is_that_of_tensorflows_cross_entropy():
    sparse = tf.nn.sparse_softmax_cross_entropy_with_logits(LABELS, LOGITS)
    numpy.testing.assert_array_equal(cross_entropy(LABELS, LOGITS), sparse)
    mixed = numpy.random.default_rng(1).dirichlet(numpy.ones(5), 7).astype(numpy.float32)
    dense = tf.nn.softmax_cross_entropy_with_logits(mixed, LOGITS)
    numpy.testing.assert_array_equal(cross_entropy(mixed, LOGITS), dense)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("as_labels", [True, False])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_each_row_has_a_loss_in_the_dtype_of_the_logits(smoothing, as_labels, dtype):
    targets = LABELS if as_labels else numpy.eye(5, dtype=numpy.float32)[LABELS]
    found = cross_entropy(targets, LOGITS.astype(dtype), label_smoothing=smoothing)
    assert (found.shape, found.dtype) == ((7,), dtype)


def test_the_logged_loss_is_the_loss_that_the_experiment_names(digits, tmp_path):
    wanted = digits(SMOOTHED, "train.epochs=1", "train.calibration=none")
    train(wanted, tmp_path / "run")
    run = Run(tmp_path / "run")
    evaluate(run, wanted, "validation")
    found = predictions.load(run, "validation")
    oracle = keras.losses.CategoricalCrossentropy(label_smoothing=0.3)
    expected = oracle(numpy.eye(10, dtype=numpy.float32)[found.labels], found.probabilities)
    assert run.log[-1].val_loss == pytest.approx(float(expected), rel=1e-5)


def test_a_run_with_another_smoothing_is_another_training(tmp_path):
    plain, smoothed = (experiment(tmp_path, *more) for more in ((), (SMOOTHED,)))
    assert plain.train.loss.label_smoothing == 0
    assert plain.identity() != smoothed.identity()


def test_a_run_with_smoothing_that_is_interrupted_ends_with_the_same_bits(digits, tmp_path):
    settings = (*RICH, SMOOTHED, "train.steps_per_execution=1")
    train(digits(*settings), tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(digits(*settings, "train.time_limit=0.0001s"), tmp_path / "parts")
    assert Run(tmp_path / "parts").status.step == 1
    train(digits(*settings), tmp_path / "parts")
    assert_same_result(Run(tmp_path / "whole"), Run(tmp_path / "parts"))
    train(digits(*RICH, "train.steps_per_execution=1"), tmp_path / "plain")
    whole, plain = Run(tmp_path / "whole"), Run(tmp_path / "plain")
    assert whole.log[0].loss > plain.log[0].loss  # so it was smoothed throughout


def test_two_devices_train_to_the_weights_of_one_with_label_smoothing(digits, tmp_path):
    shared = (
        SMOOTHED,
        "train.precision=float64",
        "model.dropout=0",
        f"train.optimizer={SGD % 0.1}",
    )
    found = []
    for name, more in (("one", ()), ("two", (MIRRORED,))):
        train(digits(*shared, *more), tmp_path / name)
        found.append(weights(Run(tmp_path / name)))
    for one, two in zip(*found, strict=True):
        numpy.testing.assert_allclose(one, two, rtol=0, atol=1e-12)
