"""Losses against Keras's."""

import numpy
import pytest
from experiments import MIRRORED, SGD, weights

from imgcls import parts
from imgcls.backend import keras, tf
from imgcls.evaluation import predictions
from imgcls.run import Run
from imgcls.verbs.evaluate import evaluate
from imgcls.verbs.train import train

LOGITS = numpy.random.default_rng(0).normal(size=(7, 5)).astype(numpy.float32) * 4
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


def test_the_logged_loss_is_the_loss_that_the_experiment_names(digits, tmp_path):
    smoothed = "train.loss={name: cross_entropy, label_smoothing: 0.3}"
    wanted = digits(smoothed, "train.epochs=1")
    train(wanted, tmp_path / "run")
    run = Run(tmp_path / "run")
    evaluate(run, wanted, "validation")
    found = predictions.load(run, "validation")
    oracle = keras.losses.CategoricalCrossentropy(label_smoothing=0.3)
    expected = oracle(numpy.eye(10, dtype=numpy.float32)[found.labels], found.probabilities)
    assert run.log[-1].val_loss == pytest.approx(float(expected), rel=1e-5)


def test_two_devices_train_to_the_weights_of_one_with_label_smoothing(digits, tmp_path):
    shared = (
        "train.loss={name: cross_entropy, label_smoothing: 0.1}",
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
