"""Statistics of batch norm, estimated again before each validation."""

from pathlib import Path

import numpy
import pytest
from experiments import MIRRORED, SGD, command
from test_freezing import make_trainer

from imgcls.errors import UserError
from imgcls.io.signals import StopRequest
from imgcls.run import Run
from imgcls.verbs import train

SETTINGS = (
    "model={name: cnn, filters: [4, 8], dense: [8], batch_norm: true, dropout: 0.0}",
    "train.batch_size=64",
    "train.steps_per_execution=8",
    "train.epochs=1",
    "train.precise_batch_norm={batches: 5}",
    f"train.optimizer={SGD % 0.05}",
)
AUGMENTED = "augment=[{name: random_crop, padding: 2}]"


def train_an_epoch(settings, folder="run"):
    trainer = make_trainer(settings, folder)
    next(trainer.train_epochs(StopRequest()))
    trainer.close()
    return trainer


def read_batches(settings, count):
    """Return the images of the last batches of the first epoch, augmented."""
    from imgcls.backend import tf
    from imgcls.input.batches import ShuffledBatches, make_examples
    from imgcls.store.lookup import find_store

    store, split = find_store(settings)
    batches = ShuffledBatches(make_examples(store, split, "train"), settings)
    result = []
    for step in range(batches.steps_per_epoch - count, batches.steps_per_epoch):
        images, labels, _ = batches.read(step, slice(0, batches.batch_size))
        step = tf.constant(step, tf.int64)
        result.append(batches.prepare_inputs(tf.constant(images), labels, step, 0)[0])
    return result


def estimate_with_numpy(model, batches):
    """Return the means and variances of each batch norm over batches that are normalized by their
    own: E[x] and E[x^2] in float64, all layers but batch norm by Keras.
    """
    from imgcls.backend import keras

    moments = {}
    for images in batches:
        features = images
        for layer in model.layers[1:]:
            if not isinstance(layer, keras.layers.BatchNormalization):
                features = layer(features)
                continue
            values = numpy.asarray(features, numpy.float64)
            mean, square = values.mean((0, 1, 2)), (values**2).mean((0, 1, 2))
            moments.setdefault(layer.name, []).append((mean, square))
            scale = layer.gamma.numpy() / numpy.sqrt(square - mean**2 + layer.epsilon)
            features = ((values - mean) * scale + layer.beta.numpy()).astype(numpy.float32)
    averages = {name: numpy.mean(rows, axis=0) for name, rows in moments.items()}
    return {name: (mean, square - mean**2) for name, (mean, square) in averages.items()}


def statistics(model):
    from imgcls.backend import keras

    return {
        layer.name: (layer.moving_mean.numpy(), layer.moving_variance.numpy())
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }


def assert_close(actual, expected, tolerance):
    assert list(actual) == list(expected)
    for name, pair in expected.items():
        for one, other in zip(actual[name], pair, strict=True):
            numpy.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("cache", [512, 0], ids=["in memory", "streaming"])
def test_the_statistics_are_those_of_the_last_batches_as_they_were_augmented(digits, cache):
    settings = digits(*SETTINGS, AUGMENTED, f"train.device_cache_mib={cache}")
    trainer = train_an_epoch(settings)
    expected = estimate_with_numpy(trainer.model, read_batches(settings, 5))
    assert_close(statistics(trainer.model), expected, 2e-5)


def test_over_an_epoch_the_first_layers_variance_is_that_of_all_its_pixels(digits):
    """Of 1,294 images, 20 batches of 64: the mean of the batches' variances would be smaller."""
    settings = digits(*SETTINGS, "train.precise_batch_norm.batches=20", "train.batch_size=64")
    model = train_an_epoch(settings).model
    images = numpy.concatenate(read_batches(settings, 20))
    inputs = numpy.asarray(model.layers[2](model.layers[1](images)), numpy.float64)
    expected = inputs.mean((0, 1, 2)), inputs.var((0, 1, 2))
    assert_close({"": statistics(model)["batch_norm_1"]}, {"": expected}, 1e-5)


STILL = (*SETTINGS, AUGMENTED, f"train.optimizer={SGD % 1e-9}", "model.dropout=0.5")
"""Nearly without a learning rate, the weights are the same after rounding otherwise."""


def test_two_devices_change_rounding_only(digits):
    one = statistics(train_an_epoch(digits(*STILL), "one").model)
    other = statistics(train_an_epoch(digits(*STILL, MIRRORED), "other").model)
    assert_close(other, one, 1e-5)


@pytest.mark.full
def test_the_moments_of_micro_batches_are_pooled(digits):
    """Those of the first layer: the inputs of the second are normalized by micro-batches."""
    one = statistics(train_an_epoch(digits(*STILL), "one").model)
    other = statistics(train_an_epoch(digits(*STILL, "train.micro_batch_size=16"), "other").model)
    first = "batch_norm_1"
    assert_close({first: other[first]}, {first: one[first]}, 1e-5)
    assert_close(other, one, 2e-2)


def test_averaged_weights_are_validated_with_their_own_statistics(digits):
    settings = digits(*SETTINGS, "train.ema.decay=0.5", "train.precise_batch_norm.batches=20")
    trainer = train_an_epoch(settings)
    with trainer._replicated.use_validated_weights():
        averaged = estimate_with_numpy(trainer.model, read_batches(settings, 20))
    trained = estimate_with_numpy(trainer.model, read_batches(settings, 20))
    assert_close(statistics(trainer.model), averaged, 2e-5)
    assert abs(averaged["batch_norm_2"][1] - trained["batch_norm_2"][1]).max() > 1e-4


def test_frozen_batch_norm_keeps_its_moving_averages(digits):
    settings = digits(*SETTINGS, "train.freeze=[{depth: 1}]")
    model = train_an_epoch(settings).model
    mean, variance = statistics(model)["batch_norm_1"]
    assert (mean == 0).all()
    assert (variance == 1).all()
    assert (statistics(model)["batch_norm_2"][0] != 0).all()


def test_the_model_is_validated_and_saved_with_the_estimated_statistics(digits):
    """After 6 steps, moving averages are far from the statistics: the validation loss shows it."""
    short = ("train.batch_size=256", f"train.optimizer={SGD % 0.05}", "train.calibration=none")
    train.train(digits(*SETTINGS, *short), Path("precise"))
    train.train(digits(*SETTINGS, *short, "train.precise_batch_norm=null"), Path("moving"))
    precise, moving = (Run(Path(name)).log[-1] for name in ("precise", "moving"))
    assert precise.val_loss < 0.8 * moving.val_loss
    assert precise.loss == moving.loss
    assert command("eval", "precise", "--split", "validation")[0] == 0
    metrics = Run(Path("precise")).read_evaluation("validation").metrics
    assert metrics["log_loss"] == pytest.approx(precise.val_loss, rel=1e-5)


def test_a_model_without_batch_norm_is_refused(digits):
    with pytest.raises(UserError, match="precise_batch_norm is set, but the model has no batch"):
        train.train(digits("train.precise_batch_norm={batches: 2}"))
