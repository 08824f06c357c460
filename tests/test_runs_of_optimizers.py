"""Runs with each optimizer: interrupted, on two devices, and with a loss scale."""

import numpy
import pytest
from experiments import MIRRORED, RICH, assert_same_result, experiment, log_without_times

from imgcls import parts
from imgcls.backend import keras
from imgcls.errors import Interrupted, UserError
from imgcls.evaluation import predictions
from imgcls.run import Run
from imgcls.training import build, checkpoint_file
from imgcls.verbs.evaluate import evaluate
from imgcls.verbs.train import train

SETTINGS = (*RICH, "train.steps_per_execution=1", "train.epochs=1", "model.filters=[4, 4]")


@pytest.mark.full
@pytest.mark.parametrize("name", parts.list_names("optimizers"))
def test_a_run_that_is_interrupted_ends_with_the_same_bits(digits, tmp_path, name):
    settings = (*SETTINGS, f"train.optimizer={name}")
    train(digits(*settings), tmp_path / "whole")
    with pytest.raises(Interrupted):
        train(digits(*settings, "train.time_limit=0.0001s"), tmp_path / "parts")
    assert Run(tmp_path / "parts").status.step == 1
    train(digits(*settings), tmp_path / "parts")
    assert_same_result(Run(tmp_path / "whole"), Run(tmp_path / "parts"))
    assert log_without_times(Run(tmp_path / "whole"))[0]["loss"] < 2.6  # it learns


@pytest.mark.full
@pytest.mark.parametrize("name", parts.list_names("optimizers"))
def test_two_devices_and_a_loss_scale_train_nearly_as_one_device_does(digits, tmp_path, name):
    shared = (
        "train.epochs=2",
        "train.steps_per_execution=3",
        "model.dropout=0",
        f"train.optimizer={name}",
    )
    more = (MIRRORED, "train.precision=mixed_float16", "train.micro_batch_size=64")
    losses = []
    for folder, changes in (("one", ()), ("two", more)):
        train(digits(*shared, *changes), tmp_path / folder)
        losses.append([epoch.loss for epoch in Run(tmp_path / folder).log])
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0][1] < losses[0][0] - 0.01


def test_the_average_of_schedule_free_is_validated_and_saved(digits, tmp_path):
    changes = ("train.optimizer=schedule_free", "train.calibration=none", "model.filters=[4, 4]")
    wanted = digits(*RICH, *changes, "train.epochs=1", "train.precision=float64")
    train(wanted, tmp_path / "run")
    run = Run(tmp_path / "run")
    header, arrays = checkpoint_file.read(run.state_files()[0])
    named = dict(zip(header.paths, arrays.values(), strict=True))
    for layer in ("convolution_2", "logits"):
        (average,) = (
            array for path, array in named.items() if path.endswith(f"{layer}_kernel_average")
        )
        saved = keras.models.load_model(run.model_file, compile=False).get_layer(layer).kernel
        numpy.testing.assert_array_equal(saved, average)
        assert not numpy.array_equal(saved, named[f"{layer}/kernel"])
    evaluate(run, wanted, "validation")
    found = predictions.load(run, "validation")
    right = found.probabilities[numpy.arange(len(found.labels)), found.labels]
    assert -numpy.log(right).mean() == pytest.approx(run.log[-1].val_loss, rel=1e-5)


@pytest.mark.parametrize(
    "averaging",
    [
        "train.optimizer=schedule_free",
        pytest.param("train.ema={decay: 0.5}", marks=pytest.mark.full),
    ],
)
def test_a_frozen_layer_has_its_own_weights_in_the_average(digits, tmp_path, averaging):
    changes = ("model.filters=[4, 4]", "train.freeze=[{layers: convolution_1}]", "train.epochs=1")
    train(digits(*changes, averaging), tmp_path / "run")
    run = Run(tmp_path / "run")
    header, arrays = checkpoint_file.read(run.state_files()[-1])
    assert run.get_step(run.state_files()[-1]) == 0
    initial = dict(zip(header.paths, arrays.values(), strict=True))
    model = keras.models.load_model(run.model_file, compile=False)
    frozen, trained = (model.get_layer(f"convolution_{number}").kernel for number in (1, 2))
    numpy.testing.assert_array_equal(frozen, initial["convolution_1/kernel"])
    assert not numpy.array_equal(trained, initial["convolution_2/kernel"])


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        (("train.optimizer=schedule_free", "model.batch_norm=true"), ["has batch norm"]),
        (("train.ema={decay: 0.9}", "model.batch_norm=true"), ["has batch norm"]),
        (("train.ema={decay: 0.9}",), []),
        (("model.batch_norm=true",), []),
        (
            ("train.ema={decay: 0.9}", "model.batch_norm=true", "train.precise_batch_norm={}"),
            [],
        ),
        (("train.optimizer=schedule_free", "train.schedule=cosine"), ["train.schedule is cosine"]),
    ],
)
def test_what_does_not_suit_averages_is_noted(tmp_path, capsys, changes, notes):
    build.build_optimizer(experiment(tmp_path, *changes))
    printed = capsys.readouterr().err
    assert [
        text for text in ("has batch norm", "train.schedule is cosine") if text in printed
    ] == notes


def test_ema_of_an_optimizer_that_averages_is_refused(tmp_path):
    with pytest.raises(
        UserError, match="has ema, but optimizer schedule_free averages the weights"
    ):
        experiment(tmp_path, "train.optimizer=schedule_free", "train.ema={decay: 0.9}")
