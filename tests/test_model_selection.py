"""What becomes the model: the best epoch, the last one, or the average over updates; and when
training stops or slows down.
"""

import json
from pathlib import Path

import numpy
import pytest
from experiments import (
    SGD,
    command,
    weights,
)

from imgcls.errors import UserError
from imgcls.run import Run
from imgcls.verbs import train
from imgcls.verbs.prepare import prepare


def test_choosing_the_best_epoch_needs_a_validation_split(digits, prepared):
    prepare(digits("data.validation=0"))
    with pytest.raises(
        UserError, match=r"the validation split is empty, but train\.select_weights: best needs one"
    ):
        train.train(digits("data.validation=0"))
    assert not Path("runs").exists()


def test_the_best_epoch_on_validation_becomes_the_model(digits):
    settings = digits(
        "train.epochs=6",
        "train.optimizer={name: sgd, learning_rate: 0.3}",
        "train.monitor=val_loss",
        "train.calibration=none",
    )
    summary = train.train(settings, Path("run"))
    run = Run(Path("run"))
    losses = [epoch.val_loss for epoch in run.log]
    assert summary["selected"]["epoch"] == losses.index(min(losses)) + 1
    steps = len(losses), len(losses) - 1  # the last two states, each with the best of its epochs
    assert {path.name for path in run.best_weights_files()} == {
        f"best-{losses.index(min(losses[:step])) + 1}.npz" for step in steps
    }
    exit_code, _, _ = command("eval", "run", "--split", "validation")
    assert exit_code == 0
    metrics = json.loads(run.metrics_file("validation").read_text())["metrics"]
    assert metrics["log_loss"] == pytest.approx(min(losses), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(summary["selected"]["val_accuracy"])


def test_the_last_epoch_becomes_the_model_if_asked_for_and_no_validation_is_needed(
    digits, prepared
):
    settings = digits("train.select_weights=last", "data.validation=0")
    prepare(settings)
    summary = train.train(settings, Path("run"))
    assert (summary["selected"]["epoch"], summary["selected"]["val_loss"]) == (2, None)
    assert summary["temperature"] == 1
    assert summary["calibration"] == "the validation split is empty"


def test_early_stopping_ends_a_run_that_no_longer_improves(digits):
    settings = digits(
        "train.epochs=30",
        "train.optimizer={name: sgd, learning_rate: 1.0e-9}",
        "train.early_stopping={patience: 2, min_delta: 0.01}",
    )
    assert train.train(settings)["epochs"] == 3


def test_a_plateau_lowers_the_rate_of_the_epochs_after_it(digits):
    train.train(
        digits("train.epochs=5", "train.plateau={patience: 2, factor: 0.5, min_delta: 100.0}"),
        Path("run"),
    )
    rates = [epoch.learning_rate for epoch in Run(Path("run")).log]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4, 5e-4])


@pytest.mark.parametrize(
    ("strategy", "precision"),
    [
        ("{name: one_device}", "float32"),
        pytest.param("{name: mirrored, replicas: 2}", "mixed_float16", marks=pytest.mark.full),
        pytest.param("{name: one_device}", "mixed_float16", marks=pytest.mark.full),
        pytest.param("{name: mirrored, replicas: 2}", "float32", marks=pytest.mark.full),
    ],
)
def test_the_average_over_updates_is_evaluated_and_kept_and_the_weights_go_on(
    digits, precision, strategy
):
    """With a step an epoch and next to no decay of the newest weights, average and weights are
    nearly one; with much, they are not.
    """
    shared = (
        f"train.precision={precision}",
        f"train.strategy={strategy}",
        "train.batch_size=1294",
        "train.epochs=4",
        "train.select_weights=last",
    )
    for name, more in (
        ("plain", []),
        ("short", ["train.ema.decay=1.0e-9"]),
        ("long", ["train.ema.decay=0.9"]),
    ):
        train.train(digits(*shared, *more), Path(name))
    plain, short, long = (Run(Path(name)) for name in ("plain", "short", "long"))
    losses = [[epoch.loss for epoch in run.log] for run in (plain, short, long)]
    assert losses[0] == losses[1] == losses[2]  # training itself does not see the average
    for one, other in zip(weights(plain), weights(short), strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert [epoch.val_loss for epoch in long.log] != [epoch.val_loss for epoch in plain.log]
    assert any(
        numpy.abs(one - other).max() > 1e-4
        for one, other in zip(weights(plain), weights(long), strict=True)
    )


def test_averaged_weights_are_the_exponential_average_of_the_trained_ones(digits):
    from imgcls.backend import keras, tf
    from imgcls.training import averaged_weights, build

    settings = digits(
        f"train.optimizer={SGD % 0.5}".replace("}", ", momentum: 0.0}"), "train.ema.decay=0.75"
    )
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
    )
    optimizer, learning_rate = build.build_optimizer(settings)
    learning_rate.value = tf.constant(0.5)
    optimizer.build(model.trainable_variables)
    trained, average = 1.0, None
    for _ in range(5):
        optimizer.apply([numpy.array([[0.1]], numpy.float32)], model.trainable_variables)
        trained -= 0.5 * 0.1
        average = trained if average is None else 0.75 * average + 0.25 * trained
    with averaged_weights.use_validated_weights(model, optimizer):
        assert model.trainable_variables[0].value.numpy().item() == pytest.approx(average, rel=1e-6)
    assert model.trainable_variables[0].value.numpy().item() == pytest.approx(trained, rel=1e-6)
