"""Losses against their formulas in float64, and Keras's."""

import numpy
import pytest
from experiments import MIRRORED, RICH, SGD, assert_same_result, experiment, weights
from scipy import special

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


def softmax_log(logits):
    return logits - special.logsumexp(logits, axis=-1, keepdims=True)


def focal(settings, targets, logits):
    logs = softmax_log(logits)
    return -(targets * (-numpy.expm1(logs)) ** settings.gamma * logs).sum(-1)


def binary(settings, targets, logits):
    if settings.target_threshold is not None:
        targets = (targets > settings.target_threshold).astype(float)
    targets = smooth(targets, settings.label_smoothing)
    losses = -(targets * special.log_expit(logits) + (1 - targets) * special.log_expit(-logits))
    return losses.mean(-1) if settings.reduction == "mean" else losses.sum(-1)


def smooth(targets, smoothing):
    return targets * (1 - smoothing) + smoothing / targets.shape[-1]


ORACLES = {
    "binary_cross_entropy": binary,
    "cross_entropy": lambda settings, targets, logits: (
        -(smooth(targets, settings.label_smoothing) * softmax_log(logits)).sum(-1)
    ),
    "focal": lambda settings, targets, logits: focal(
        settings, smooth(targets, settings.label_smoothing), logits
    ),
}
"""Each loss in float64, of targets as probabilities."""
VARIANTS = {
    "binary_cross_entropy": [
        {"reduction": "sum"},
        {"target_threshold": 0.2},
        {"target_threshold": 0.0, "reduction": "sum", "label_smoothing": 0.1},
    ],
    "focal": [{"gamma": 0.0}, {"gamma": 0.5}, {"gamma": 5.0}],
}
CASES = [
    (name, settings)
    for name in parts.list_names("losses")
    for settings in ({}, {"label_smoothing": 0.1}, *VARIANTS.get(name, []))
]
every_loss = pytest.mark.parametrize(("name", "settings"), CASES)
MIXED = numpy.random.default_rng(1).dirichlet(numpy.ones(5), 7).astype(numpy.float32)
ONE_HOT = numpy.eye(5, dtype=numpy.float32)[LABELS]


def compute(name, settings, targets, logits):
    part = parts.load("losses", name)
    chosen = part.Settings(name=name, **settings)
    return chosen, part.compute(chosen, tf.constant(targets), logits)


@every_loss
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_follow_their_formulas(name, settings, dtype):
    logits = LOGITS.astype(dtype)
    for targets, dense in ((LABELS, ONE_HOT), (ONE_HOT, ONE_HOT), (MIXED, MIXED)):
        chosen, found = compute(name, settings, targets, tf.constant(logits))
        expected = ORACLES[name](chosen, dense.astype(float), logits.astype(float))
        numpy.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == "float32" else 1e-7)
        assert (found.shape, found.dtype) == ((7,), dtype)


@every_loss
@pytest.mark.parametrize("size", [1e4, 100.0, 1e-4, 0.0])
def test_losses_and_their_gradients_are_finite_for_large_and_equal_logits(name, settings, size):
    signs = numpy.array([[1, -1, 0], [-1, 1, 0], [0, -1, 1], [1, 1, 1]], numpy.float32)
    labels, mixed = numpy.array([0, 0, 2, 1]), numpy.full((4, 3), 1 / 3, numpy.float32)
    for targets, dense in ((labels, numpy.eye(3)[labels]), (mixed, mixed)):
        logits = tf.Variable(signs * numpy.float32(size))
        with tf.GradientTape() as tape:
            chosen, losses = compute(name, settings, targets, logits)
        gradients = tape.gradient(losses, logits).numpy()
        expected = ORACLES[name](chosen, dense.astype(float), signs.astype(float) * size)
        numpy.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)
        assert numpy.isfinite(gradients).all()
        # A step against the gradient lowers the loss, unless that is at its minimum.
        lower = compute(name, settings, targets, logits - tf.constant(1e-2 * gradients))[1]
        assert (lower.numpy() <= losses.numpy() + 1e-5).all()


@every_loss
def test_half_precision_logits_give_finite_losses(name, settings):
    found = compute(name, settings, LABELS, tf.constant(LOGITS.astype("float16")))[1]
    assert (found.shape, found.dtype) == ((7,), "float16")
    assert numpy.isfinite(found).all()


def test_focal_loss_is_that_of_keras():
    for gamma in (1.0, 2.0):
        oracle = keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=gamma, from_logits=True, reduction=None
        )
        found = compute("focal", {"gamma": gamma}, MIXED, tf.constant(LOGITS))[1]
        # Keras clips probabilities at 1e-7.
        numpy.testing.assert_allclose(found, oracle(MIXED, LOGITS), rtol=1e-4, atol=1e-5)


def test_binary_cross_entropy_is_that_of_keras():
    oracle = keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)
    found = compute("binary_cross_entropy", {}, MIXED, tf.constant(LOGITS))[1]
    numpy.testing.assert_allclose(found, oracle(MIXED, LOGITS), rtol=1e-5)


def test_a_threshold_makes_an_image_of_two_classes_one_of_both():
    mixed = numpy.array([[0.7, 0.3, 0.0], [0.9, 0.1, 0.0]], numpy.float32)
    both = numpy.array([[1, 1, 0], [1, 0, 0]], numpy.float32)
    logits = tf.constant(LOGITS[:2, :3])
    found = compute("binary_cross_entropy", {"target_threshold": 0.2}, mixed, logits)[1]
    expected = compute("binary_cross_entropy", {}, both, logits)[1]
    numpy.testing.assert_array_equal(found, expected)


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


@pytest.mark.full
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


@pytest.mark.full
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
