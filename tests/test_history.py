"""Decisions that follow from the log alone."""

import itertools

import numpy
import pytest
from experiments import make_epoch

from imgcls.monitor_settings import EarlyStopping, Plateau
from imgcls.train_config import Train
from imgcls.training import history


def epochs_of(values):
    return [make_epoch(val_loss=value) for value in values]


@pytest.mark.parametrize("seed", range(20))
def test_the_learning_rate_falls_on_a_plateau_when_that_of_keras_does(seed):
    from imgcls.backend import keras

    values = numpy.random.default_rng(seed).normal(size=30).cumsum().tolist()
    settings = Plateau(patience=3, factor=0.5, min_delta=0.1)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0))
    callback = keras.callbacks.ReduceLROnPlateau(
        "val_loss", factor=0.5, patience=3, min_delta=0.1, mode="min", min_lr=0
    )
    callback.set_model(model)
    callback.on_train_begin()
    rate = 1.0
    for number in range(1, len(values) + 1):
        callback.on_epoch_end(number - 1, {"val_loss": values[number - 1]})
        epochs = epochs_of(values[:number])
        rate *= 0.5 if history.should_reduce_learning_rate(epochs, settings) else 1.0
        assert rate == pytest.approx(float(model.optimizer.learning_rate), rel=1e-6)


@pytest.mark.parametrize(("select_weights", "selected"), [("best", 2), ("last", 3)])
def test_the_best_or_the_last_epoch_is_selected(select_weights, selected):
    epochs = [make_epoch(epoch=i + 1, val_loss=loss) for i, loss in enumerate([0.5, 0.2, 0.9])]
    settings = Train(epochs=3, select_weights=select_weights, monitor="val_loss")
    assert history.find_selected_epoch(epochs, settings) == selected


def log_of(*pairs):
    return [
        make_epoch(epoch=number, val_accuracy=accuracy, val_loss=loss)
        for number, (accuracy, loss) in enumerate(pairs, 1)
    ]


TIED = log_of(
    *[(0.7, 0.9), (0.9, 0.6), (0.9, 0.4), (0.9, 0.4), (0.9, 0.5)],
    *[(0.6, 0.3), (0.8, 0.3), (0.7, 0.3)],
)
"""Four epochs of the best accuracy, of which two have the lower loss; three of the best loss."""


@pytest.mark.parametrize(("monitor", "best"), [("val_accuracy", 4), ("val_loss", 7)])
def test_of_equally_good_epochs_the_other_quantity_decides(monitor, best):
    assert history.find_best_epoch(TIED, monitor) == best


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
def test_of_epochs_equal_in_both_quantities_the_later_is_best(monitor):
    assert history.find_best_epoch(log_of((0.9, 0.4), (0.9, 0.4), (0.1, 2.0)), monitor) == 2


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("seed", range(5))
def test_the_best_epoch_is_numpys_last_of_a_sort_by_both_quantities(seed, monitor):
    accuracy, loss = numpy.random.default_rng(seed).integers(1, 4, (2, 30))
    epochs = log_of(*zip(accuracy / 4, loss / 4, strict=True))
    keys = (-loss, accuracy) if monitor == "val_accuracy" else (accuracy, -loss)
    assert history.find_best_epoch(epochs, monitor) == numpy.lexsort(keys)[-1] + 1


@pytest.mark.parametrize("monitor", ["val_accuracy", "val_loss"])
@pytest.mark.parametrize("seed", range(5))
def test_the_best_epoch_so_far_is_the_previous_one_or_the_last(seed, monitor):
    """So the weights to keep are known when an epoch ends."""
    pairs = numpy.random.default_rng(seed).integers(1, 4, (30, 2)) / 4
    best = [history.find_best_epoch(log_of(*pairs[:end]), monitor) for end in range(1, 31)]
    assert all(
        after in (before, end) for end, (before, after) in enumerate(itertools.pairwise(best), 2)
    )


def test_an_epoch_that_is_best_by_a_tie_is_no_improvement_for_early_stopping():
    epochs = log_of((0.9, 0.5), (0.9, 0.4), (0.9, 0.3))
    assert history.find_best_epoch(epochs, "val_accuracy") == 3
    assert history.should_stop(epochs, EarlyStopping(monitor="val_accuracy", patience=2))


def test_without_early_stopping_no_epoch_is_the_last():
    assert not history.should_stop(epochs_of([1.0] * 9), None)


def epoch(steps, wait, **stages):
    return make_epoch(input_wait=wait, stage_seconds={"steps": steps, **stages})


def test_the_device_is_the_bottleneck_if_it_seldom_waits_for_data():
    assert (
        history.describe_bottleneck(
            [epoch(8.0, 0.01, validation=1.0, saving=0.5), epoch(8.0, 0.03)]
        )
        == "the bottleneck is the device: the device waited for data during 2.0% of the training"
        " steps' time; the slowest stage is steps (16.0 of 17.5 s)"
    )


def test_the_loader_is_the_bottleneck_if_the_device_waits_for_it():
    assert (
        history.describe_bottleneck([epoch(8.0, 0.5, reading=3.0, augmentation=9.0)])
        == "the bottleneck is the loader: the device waited for data during 50.0% of the training"
        " steps' time; the slowest stage is augmentation (9.0 s, summed over its workers)"
    )
