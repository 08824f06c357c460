"""The learning-rate range test: its curve, its suggestions, and what it leaves."""

import json
from pathlib import Path

import numpy
import pytest
from experiments import MIRRORED, command, json_of
from PIL import Image

from imgcls import parts
from imgcls.backend import tf
from imgcls.rehearsal import learning_rate_test, range_test
from imgcls.rehearsal.learning_rate_test import SKIPPED_STEPS, SMOOTHING, LossAverage
from imgcls.store import lookup
from imgcls.training.steps import Steps

FAST = ("train.optimizer={name: adam}", "train.batch_size=64")


@pytest.fixture
def short(monkeypatch):
    """Make the range of learning rates take 30 steps."""
    monkeypatch.setattr(range_test, "MIN_STEPS", 30)
    monkeypatch.setattr(range_test, "MAX_STEPS", 30)


def run_test(experiment):
    return range_test.run(experiment, *lookup.find_store(experiment))


def test_the_average_weighs_losses_by_their_age():
    losses, average = [3.0, 1.0, 4.0, 1.0, 5.0], LossAverage()
    for loss in losses:
        average.add(loss)
    for count in range(1, len(losses) + 1):
        weights = SMOOTHING ** numpy.arange(count)[::-1]
        expected = numpy.average(losses[:count], weights=weights)
        assert average.values[count - 1] == pytest.approx(expected)


def test_the_loss_has_exploded_at_four_times_its_minimum():
    average = LossAverage()
    for loss, expected in ((1.0, False), (5.0, False), (9.0, True)):
        average.add(loss)
        assert (average.values[-1] > 4 * min(average.values)) == expected
        assert average.has_exploded() == expected


def test_the_suggestions_are_the_steepest_descent_and_the_minimum():
    rates = numpy.geomspace(1e-6, 1, 121)
    losses = 1 / (1 + (rates / 1e-3) ** 2) + 10 * numpy.maximum(0, numpy.log10(rates / 1e-1))
    losses -= 1e-4 * numpy.log10(rates) * (rates < 1e-1)
    assert rates[learning_rate_test.find_steepest(rates, losses)] == pytest.approx(1e-3, rel=0.01)
    assert rates[learning_rate_test.find_minimum(losses)] == pytest.approx(1e-1, rel=0.2)


def test_a_steep_fall_after_the_minimum_is_not_suggested():
    rates = numpy.geomspace(1e-6, 1, 60)
    losses = numpy.concatenate([numpy.linspace(2, 1, 40), [9.0, 2.0], numpy.full(18, 5.0)])
    assert learning_rate_test.find_steepest(rates, losses) < 40


@pytest.mark.parametrize(
    "losses", [[1.0] * 50, numpy.linspace(1, 2, 50), [1.0] * (SKIPPED_STEPS + 1), [2.0, 1.0], []]
)
def test_nothing_is_suggested_if_the_loss_does_not_fall(losses):
    rates = numpy.geomspace(1e-6, 1, len(losses))
    assert learning_rate_test.find_steepest(rates, losses) is None
    assert learning_rate_test.find_minimum(losses) is None


@pytest.mark.parametrize("name", parts.list_names("optimizers"))
def test_the_range_of_each_optimizer_includes_its_default(name):
    settings = parts.make_default_settings("optimizers", name)
    default = range_test.get_default_learning_rate(settings)
    assert default == settings.learning_rate
    assert default * range_test.MIN_FACTOR < 1e-4 < 1e-1 < default * range_test.MAX_FACTOR


def test_the_command_prints_a_table_and_what_to_run_next_and_writes_its_files(digits, capsys):
    digits(*FAST)
    overrides = [word for each in FAST for word in ("--set", each)]
    line = ["train", "experiment.yaml", "--find-learning-rate", *overrides]
    store = f"data.store_dir={digits().data.store_dir}"
    found = json_of(*line, "--set", store)
    exit_code, stdout, _ = command(*line, "--set", store)
    assert exit_code == 0
    folder = Path("runs/tiny/learning-rate-1")
    record = json.loads((folder / "learning_rate.json").read_text())
    assert {name: found[name] for name in record} == record
    assert json.loads(
        (Path(f"{folder.parent}/learning-rate-2/learning_rate.json")).read_text()
    ) == (record)  # the same bits
    with Image.open(found["figure"]) as image:
        assert image.size[0] > 800
    assert record["suggested"] == min(record["steepest"], record["minimum_tenth"])
    rate = f"{record['suggested']:.2g}"
    last = stdout.splitlines()[-1]
    assert last.startswith(
        "next: imgcls train experiment.yaml --set 'train.optimizer={name: adam}'"
    )
    assert last.endswith(f"--set train.optimizer.learning_rate={rate}")
    assert stdout.splitlines()[0].split() == ["step", "learning_rate", "loss", "smoothed_loss"]
    assert 1e-4 < record["steepest"] < 1e-1
    assert 1e-4 < record["minimum_tenth"] < 1e-1
    assert record["smoothed"][-1] > 4 * min(record["smoothed"]) or not record["stopped"]
    assert command("runs")[1].count("tiny") == 0


@pytest.mark.full
def test_the_learning_rate_of_the_experiment_changes_nothing_but_what_is_called_current(
    digits, short
):
    one = run_test(digits("train.optimizer={name: sgd, learning_rate: 0.5}", "model.dropout=0"))
    other = run_test(digits("train.optimizer={name: sgd}", "model.dropout=0"))
    assert (one.current, other.current) == (0.5, 0.1)
    assert one.model_copy(update={"current": 0.1}) == other


def test_micro_batches_give_the_same_losses(digits, short):
    settings = ("train.precision=float64", "train.batch_size=64")
    whole = run_test(digits(*settings))
    divided = run_test(digits(*settings, "train.micro_batch_size=16"))
    assert divided.accumulation_steps == 4
    assert divided.losses == pytest.approx(whole.losses, rel=1e-9)


@pytest.mark.full
def test_the_rates_are_those_before_they_are_scaled_by_the_batch_size(digits, short):
    settings = ("train.batch_size=64", "model.dropout=0")
    plain = run_test(digits(*settings))
    scaled = run_test(digits(*settings, "train.learning_rate_scaling={batch_size: 16}"))
    assert scaled.learning_rates == plain.learning_rates
    assert numpy.argmin(scaled.smoothed) < numpy.argmin(plain.smoothed)  # four times as fast


@pytest.mark.full
@pytest.mark.parametrize(
    "override", [MIRRORED, "train.precision=mixed_float16", "train.device_cache_mib=0"]
)
def test_mirrored_mixed_and_streaming_trainings_have_a_curve(digits, short, override):
    found = run_test(digits(override, "augment=[{name: random_crop, padding: 1}]"))
    assert len(found.losses) > SKIPPED_STEPS
    assert numpy.isfinite(found.losses).all()


def test_a_loss_that_is_not_finite_ends_the_test(digits, short):
    found = run_test(digits("train.optimizer={name: sgd, momentum: 0.99}", "model.dropout=0"))
    assert len(found.losses) < 30
    assert " at a learning rate of " in found.stopped
    assert numpy.isfinite(found.losses).all()


@pytest.mark.full
def test_the_test_starts_again_with_smaller_micro_batches_if_memory_runs_out(
    digits, short, monkeypatch, capsys
):
    train, calls = Steps.train, []

    def run_out_once(self, iterator, step, *arguments):
        calls.append(self._accumulation.steps)
        if len(calls) == 3:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating a tensor")
        return train(self, iterator, step, *arguments)

    monkeypatch.setattr(Steps, "train", run_out_once)
    found = run_test(digits("train.batch_size=64"))
    assert calls[:4] == [1, 1, 1, 2]
    assert "out of memory; starting again with micro-batches of 32" in capsys.readouterr().err
    assert found.accumulation_steps == 2
    assert len(found.losses) > SKIPPED_STEPS
