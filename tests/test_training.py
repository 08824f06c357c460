"""Training: the same twice, the same after an interruption, the same on several devices."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import chaos
import numpy
import pytest
from experiments import TINY, command, experiment, json_of, write_experiment

from imgcls import checkpoint, history, training
from imgcls.errors import DataError, DivergenceError, Interrupted, OutOfMemoryError, UserError
from imgcls.preparing import prepare
from imgcls.run import Run
from imgcls.signals import StopRequest

RICH = ("augment=[{name: crop, padding: 1}]", "model.batch_norm=true", "train.schedule={name: cosine, warmup: 0.2}")
"""Everything that has state or chance: augmentation, batch norm, dropout, a schedule."""
SGD = "{name: sgd, learning_rate: %s}"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with the digits' store."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(experiment(folder, f"data.store={folder / 'data'}"))
    return folder


@pytest.fixture
def digits(prepared, workspace):
    """Return the tiny experiment on prepared digits, with overrides; the current folder is empty."""
    return lambda *overrides: experiment(workspace, f"data.store={prepared / 'data'}", *overrides)


def log_without_times(run):
    return [{key: value for key, value in epoch.items() if key not in history.TIMES} for epoch in run.log]


def assert_same_result(one, other):
    assert log_without_times(one) == log_without_times(other)
    assert one.model_file.read_bytes() == other.model_file.read_bytes()


@pytest.fixture(autouse=True)
def ignored_when_late():
    """A signal that comes after the training has ended must not end the tests."""
    previous = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGUSR1, previous)


def weights(run):
    from imgcls.backend import keras

    return keras.models.load_model(run.model_file, compile=False).get_weights()


def interrupt_once(folder, done):
    """Send this process SIGUSR1 as soon as the run in `folder` is running, until `done` is set."""

    def send():
        while not done.is_set():
            if (folder / "status.json").exists() and json.loads((folder / "status.json").read_text())["status"] == "running":
                os.kill(os.getpid(), signal.SIGUSR1)
                return
            time.sleep(0.005)

    threading.Thread(target=send).start()


def train_with_interruptions(settings, folder):
    """Train with a signal at the start of every process until finished; return how often it was interrupted."""
    for count in range(100):
        done = threading.Event()
        if count < 4:
            interrupt_once(folder, done)
        try:
            training.train(settings, folder)
            return count
        except Interrupted:
            status = Run(folder).status
            assert (status["status"], status["exit_status"]) == ("interrupted", 75)
        finally:
            done.set()
    raise RuntimeError("never finished")


def test_the_same_command_twice_gives_the_same_bits(digits):
    settings = digits(*RICH)
    first, second = (Run(Path(training.train(settings)["run"])) for _ in range(2))
    assert (first.folder, second.folder) == (Path("runs/tiny/1"), Path("runs/tiny/2"))
    assert_same_result(first, second)


def test_another_seed_gives_another_result(digits, prepared):
    other = digits("seed=1")
    prepare(other)
    first, second = (Run(Path(training.train(settings)["run"])) for settings in (digits(), other))
    assert log_without_times(first) != log_without_times(second)


@pytest.mark.parametrize(
    "overrides",
    [
        (*RICH, "train.steps_per_call=1"),
        (*RICH, "train.steps_per_call=1", "train.precision=mixed_float16"),
        (*RICH, "train.steps_per_call=1", "train.strategy={name: mirrored, replicas: 2}"),
        (
            "train.steps_per_call=4",
            "train.checkpoint.steps=3",
            "train.early_stopping={patience: 1}",
            "train.optimizer={name: sgd, learning_rate: 0.5}",
        ),
        (*RICH, "train.steps_per_call=1", "train.average_weights={decay: 0.8}"),
        ("train.steps_per_call=1", "train.plateau={patience: 1, min_delta: 0.5}"),
    ],
    ids=["float32", "mixed_float16", "mirrored", "early_stopping", "averaged", "plateau"],
)
def test_a_run_interrupted_in_the_middle_of_epochs_ends_with_the_same_bits(digits, overrides):
    settings = digits("train.epochs=3", *overrides)
    whole = Run(Path(training.train(settings, Path("whole"))["run"]))
    interruptions = train_with_interruptions(settings, Path("parts"))
    assert interruptions >= 2
    assert_same_result(whole, Run(Path("parts")))


def test_one_and_two_devices_give_the_same_weights_in_float64(digits):
    overrides = ("train.precision=float64", "model.dropout=0.0", "model.l2=0.001", *RICH)
    one = Run(Path(training.train(digits(*overrides))["run"]))
    two = Run(Path(training.train(digits(*overrides, "train.strategy={name: mirrored, replicas: 2}"))["run"]))
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        numpy.testing.assert_allclose([epoch[key] for epoch in one.log], [epoch[key] for epoch in two.log], rtol=1e-12)
    for mine, theirs in zip(weights(one), weights(two), strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_a_folder_whose_run_never_saved_a_state_takes_the_corrected_experiment(digits):
    with pytest.raises(UserError, match="too small for 5 blocks"):
        training.train(digits("model.filters=[4,4,4,4,4]"), Path("run"))
    training.train(digits("train.epochs=1"), Path("run"))
    assert Run(Path("run")).experiment == digits("train.epochs=1")


def test_a_lost_model_file_is_named_and_written_anew(digits, capsys):
    settings = digits()
    training.train(settings, Path("run"))
    run = Run(Path("run"))
    model = run.model_file.read_bytes()
    for damage in (lambda: run.model_file.write_bytes(model[:100]), run.model_file.unlink):
        damage()
        exit_status, _, stderr = command("eval", "run")
        assert (exit_status, "run the training command again" in stderr or "model.keras" in stderr) == (3, True), stderr
    training.train(settings, Path("run"))
    assert run.model_file.read_bytes() == model


def test_a_finished_run_says_so_and_is_left_alone(digits, capsys):
    settings = digits()
    first = training.train(settings, Path("run"))
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    assert training.train(settings, Path("run")) == first
    assert "run is finished" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before


def test_without_a_folder_the_newest_unfinished_run_is_continued(digits, capsys):
    settings = digits()
    training.train(settings)
    run = Run(Path("runs/tiny/1"))
    run.write_status("running", step=0)
    assert training.train(settings)["run"] == "runs/tiny/1"
    assert "continuing runs/tiny/1" in capsys.readouterr().err
    assert training.train(digits("train.epochs=1"))["run"] == "runs/tiny/2"


def test_a_run_of_another_experiment_is_refused_with_the_differences(digits):
    training.train(digits(), Path("run"))
    with pytest.raises(UserError, match="holds a run of another experiment") as error:
        training.train(digits("model.filters=[5]", "model.dropout=0.1"), Path("run"))
    assert "  model.filters.0: 4 there, 5 here" in str(error.value)
    assert "  model.dropout: 0.5 there, 0.1 here" in str(error.value)


def test_a_folder_with_other_files_is_refused(digits):
    Path("run").mkdir()
    Path("run/thesis.txt").write_text("")
    with pytest.raises(UserError, match="exists, but holds no run"):
        training.train(digits(), Path("run"))


def test_a_run_killed_at_its_birth_can_be_started_again(digits):
    Run(Path("run")).write_status("created")
    assert training.train(digits("train.epochs=1"), Path("run"))["status"] == "finished"


def test_a_second_process_on_the_same_run_is_refused(digits):
    settings = digits()
    training.train(settings, Path("run"))
    Run(Path("run")).write_status("running", step=0)
    with Run(Path("run")).locked(), pytest.raises(UserError, match="another process trains in run"):
        training.train(settings, Path("run"))


def test_a_diverging_loss_stops_with_epoch_step_rate_and_images_and_keeps_the_last_good_state(digits):
    from imgcls.pipeline import Examples, Shuffled
    from imgcls.store import find_store

    settings = digits(f"train.optimizer={SGD % 1e20}", "train.epochs=3", "train.steps_per_call=4")
    with pytest.raises(DivergenceError, match=r"is no finite number in epoch 1, at step 2, at a learning rate of 1e\+20, on the images "):
        training.train(settings, Path("run"))
    status = Run(Path("run")).status
    assert (status["status"], status["exit_status"]) == ("failed", 4)
    store, split = find_store(settings)
    positions, _ = Shuffled(Examples(store.images, store.labels, split.train), settings).positions(1)
    assert status["divergence"]["images"] == store.ids(split.train[positions])
    assert not Run(Path("run")).model_file.exists()


def test_a_gradient_that_is_not_finite_stops_though_the_loss_is(digits):
    import numpy as np

    from imgcls import loop
    from imgcls.divergence import Guard

    sums = loop.no_sums()
    Guard(6, lambda step: 0.5, lambda step: ["a", "b"]).check_steps(1, sums)
    sums[loop.BROKEN_GRADIENTS], sums[loop.GOOD_STEPS] = 1, np.float64(3)
    with pytest.raises(DivergenceError, match=r"a gradient is no finite number in epoch 2, at step 10, .* 0\.5, on the images a, b;"):
        Guard(6, lambda step: 0.5, lambda step: ["a", "b"]).check_steps(1, sums)


def test_the_loop_counts_gradients_that_are_not_finite_and_the_steps_before_them():
    from imgcls import loop
    from imgcls.backend import keras, tf
    from imgcls.feeds import Resident
    from imgcls.pipeline import Examples, InOrder

    images = keras.Input((2, 2, 1), dtype="uint8")
    flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(images))
    # The root of 0 is 0, and its slope is infinite: the loss is finite on a black image, the gradient is not.
    model = keras.Model(images, keras.layers.Dense(2, kernel_initializer="ones", activation=keras.ops.sqrt)(flat))
    strategy = tf.distribute.OneDeviceStrategy("CPU:0")
    optimizer = keras.optimizers.SGD(0.0)
    optimizer.build(model.trainable_variables)
    pixels = numpy.full((3, 2, 2, 1), 9, numpy.uint8)
    pixels[2] = 0
    feed = Resident(InOrder(Examples(pixels, numpy.array([0, 1, 0], numpy.int32), numpy.arange(3)), 1), strategy)
    sums = loop.Steps(strategy, model, optimizer).train(feed, 0, 3, loop.no_sums())
    assert numpy.isfinite(sums[loop.LOSS])
    assert sums[loop.BROKEN_GRADIENTS] > 0
    assert sums[loop.GOOD_STEPS] == 2


def test_an_overflow_on_one_replica_alone_skips_the_step_on_both_and_halves_the_loss_scale():
    """Bright images lie on the second replica: there the scaled gradient overflows, on the first one, which sees black, it does not."""
    from imgcls import loop
    from imgcls.backend import keras
    from imgcls.cluster import ALONE
    from imgcls.feeds import Resident
    from imgcls.pipeline import Examples, InOrder
    from imgcls.strategies import mirrored

    strategy = mirrored.build(mirrored.Settings(name="mirrored", replicas=2), ALONE)
    with strategy.scope():
        images = keras.Input((2, 2, 1), dtype="uint8")
        flat = keras.layers.Flatten()(keras.layers.Rescaling(1.0)(images))
        model = keras.Model(images, keras.layers.Dense(2, kernel_initializer="zeros")(flat))
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-6), initial_scale=2.0**127)
        optimizer.build(model.trainable_variables)
    pixels = numpy.zeros((2, 2, 2, 1), numpy.uint8)
    pixels[1] = 255
    feed = Resident(InOrder(Examples(pixels, numpy.array([0, 1], numpy.int32), numpy.arange(2)), 2), strategy)
    steps = loop.Steps(strategy, model, optimizer)

    steps.train(feed, 0, 1, loop.no_sums())
    assert not any(weight.any() for weight in model.get_weights())
    assert float(optimizer.dynamic_scale.value.numpy()) == 2.0**126
    steps.train(feed, 1, 20, loop.no_sums())
    assert all(numpy.isfinite(weight).all() for weight in model.get_weights())
    assert model.get_weights()[0].any()
    assert float(optimizer.dynamic_scale.value.numpy()) <= 2.0**122


@pytest.mark.parametrize("strategy", ["{name: one_device}", "{name: mirrored, replicas: 2}"])
def test_bfloat16_trains_nearly_as_float32_does(digits, strategy):
    shared = (f"train.strategy={strategy}", "model.dropout=0", "train.epochs=2")
    losses = []
    for precision in ("float32", "mixed_bfloat16"):
        training.train(digits(*shared, f"train.precision={precision}"), Path(precision))
        losses.append(Run(Path(precision)).log[-1]["val_loss"])
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_a_checkpoint_that_cannot_be_read_is_not_taken_for_a_damaged_one_and_stays(digits):
    training.train(digits(), Path("run"))
    run = Run(Path("run"))
    newest = run.state_files()[0]
    newest.unlink()
    newest.mkdir()  # what even root cannot read
    run.write_status("running", step=0)
    with pytest.raises(UserError, match=r"cannot read .*state-12\.npz"):
        training.train(digits(), Path("run"))
    assert newest.exists()
    assert len(run.state_files()) == 2


def test_a_run_that_diverged_goes_on_from_the_last_good_state_with_a_lower_rate(digits, capsys):
    retry = "train.on_divergence={retries: 1, learning_rate_factor: 1.0e-21}"
    training.train(digits(f"train.optimizer={SGD % 1e20}", retry), Path("retried"))
    training.train(digits(f"train.optimizer={SGD % 0.1}"), Path("plain"))
    retried, plain = Run(Path("retried")), Run(Path("plain"))
    assert "going back from step" in capsys.readouterr().err
    assert [(entry["step"], entry["learning_rate_factor"]) for entry in retried.status["retries"]] == [(2, pytest.approx(1e-21))]
    assert retried.log[-1]["learning_rate"] == pytest.approx(0.1)
    assert retried.log[-1]["loss"] == pytest.approx(plain.log[-1]["loss"], rel=1e-4)


def test_retries_that_do_not_help_end_with_status_4_and_a_run_that_goes_on_remembers_them(digits):
    settings = digits(f"train.optimizer={SGD % 1e20}", "train.on_divergence={retries: 2, learning_rate_factor: 0.5}")
    for _ in range(2):
        with pytest.raises(DivergenceError, match=r"at a learning rate of 2\.5e\+19"):
            training.train(settings, Path("run"))
        status = Run(Path("run")).status
        assert (status["status"], status["exit_status"], len(status["retries"])) == ("failed", 4, 2)


FLOAT64 = ("train.precision=float64", "model.dropout=0", "model.l2=1.0e-4", f"train.optimizer={SGD % 0.1}")
MIRRORED = "train.strategy={name: mirrored, replicas: 2}"


@pytest.mark.parametrize("overrides", [("train.micro_batch=64",), ("train.micro_batch=64", MIRRORED)], ids=["one_device", "mirrored"])
def test_micro_batches_add_up_to_the_global_batch(digits, overrides):
    training.train(digits(*FLOAT64), Path("whole"))
    training.train(digits(*FLOAT64, *overrides), Path("parts"))
    whole, parts = Run(Path("whole")), Run(Path("parts"))
    assert parts.status["micro_batches"] == (2 if MIRRORED in overrides else 4)
    for one, other in zip(whole.log, parts.log, strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert one[name] == pytest.approx(other[name], abs=1e-12)
    for one, other in zip(weights(whole), weights(parts), strict=True):
        numpy.testing.assert_allclose(one, other, atol=1e-12)


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused_with_those_that_do(digits):
    with pytest.raises(UserError, match=r"train\.micro_batch is 100, .* 256 .* use one of 1, 2, 4, 8, 16, 32, 64, 128, 256"):
        training.train(digits("train.micro_batch=100"))


@pytest.mark.parametrize(("rows", "present", "expected"), [(128, 1, 2), (128, 64, 128), (6, 1, 2), (6, 2, 6), (9, 1, 3), (7, 1, 7)])
def test_out_of_memory_asks_for_equal_parts_of_at_most_half_the_size(rows, present, expected):
    from imgcls import memory
    from imgcls.backend import tf

    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor {{node x}}")
    assert memory.more_parts(rows, present, error) == expected
    with pytest.raises(OutOfMemoryError, match=r"out of memory with one image at a time \(OOM when allocating tensor\); use a smaller"):
        memory.more_parts(rows, rows, error)


def test_the_time_limit_stops_with_the_state_saved_and_the_next_start_continues_to_the_same_bits(digits):
    training.train(digits(*RICH), Path("whole"))
    with pytest.raises(Interrupted, match=r"train\.time_limit of 1e-06 minutes at step 2; the state is saved, continue with: imgcls train"):
        training.train(digits(*RICH, "train.time_limit=1.0e-6"), Path("parts"))
    status = Run(Path("parts")).status
    assert (status["status"], status["exit_status"], status["step"]) == ("interrupted", 75, 2)
    training.train(digits(*RICH), Path("parts"))
    assert_same_result(Run(Path("whole")), Run(Path("parts")))


def test_the_time_limit_leaves_twice_the_time_of_what_comes_before_the_next_look():
    request = StopRequest(minutes=1, started=time.monotonic() - 40)
    assert request.reason is None
    request.took("steps", 2)
    request.took("end of epoch", 5)
    assert request.reason is None
    request.took("end of epoch", 9)
    assert request.reason == "train.time_limit of 1 minutes"
    assert StopRequest(None, 0.0).reason is None


def test_weights_that_the_last_step_broke_are_not_saved(digits):
    settings = digits(f"train.optimizer={SGD % 1e30}", "train.epochs=1", "train.batch_size=2000", "train.choose=last")
    with pytest.raises(DivergenceError, match=r"(is no longer finite|loss became)"):
        training.train(settings, Path("run"))
    assert [path.name for path in Run(Path("run")).state_files()] == ["state-0.npz"]
    assert Run(Path("run")).log == []


def test_choosing_the_best_epoch_needs_a_validation_split(digits, prepared):
    prepare(digits("data.validation=0"))
    with pytest.raises(UserError, match=r"the validation split is empty, but train\.choose: best"):
        training.train(digits("data.validation=0"))
    assert not Path("runs").exists()


def test_what_a_killed_process_left_is_removed(digits):
    settings = digits("train.epochs=1")
    training.train(settings, Path("run"))
    run = Run(Path("run"))
    run.write_status("running", step=0)
    (run.checkpoint_folder / ".state-1.npz.1234.tmp").write_text("half")
    (run.folder / ".model-abc").mkdir()
    training.train(settings, Path("run"))
    assert not [path for path in run.folder.rglob(".*") if path.name != ".lock"]


def test_missing_data_is_named_with_the_command_that_makes_it(digits):
    with pytest.raises(DataError, match="imgcls prepare"):
        training.train(digits("data.store=nowhere"))


def test_a_run_does_not_continue_on_other_data(digits):
    settings = digits()
    training.train(settings, Path("run"))
    run = Run(Path("run"))
    data = run.data
    run.data_file.write_text(json.dumps({**data, "fingerprint": "0" * 64}))
    run.write_status("running", step=0)
    with pytest.raises(DataError, match="the data changed since run began: its fingerprint was 000000000000"):
        training.train(settings, Path("run"))


def test_the_best_epoch_on_validation_becomes_the_model(digits):
    settings = digits("train.epochs=6", "train.optimizer={name: sgd, learning_rate: 0.3}", "train.monitor=val_loss")
    summary = training.train(settings, Path("run"))
    run = Run(Path("run"))
    losses = [epoch["val_loss"] for epoch in run.log]
    assert summary["chosen_epoch"] == losses.index(min(losses)) + 1
    steps = len(losses), len(losses) - 1  # the last two states, each with the best of its epochs
    assert {path.name for path in run.best_files()} == {f"best-{losses.index(min(losses[:step])) + 1}.npz" for step in steps}
    exit_status, _, _ = command("eval", "run", "--split", "validation")
    assert exit_status == 0
    metrics = json.loads(run.metrics_file("validation").read_text())["metrics"]
    assert metrics["log_loss"] == pytest.approx(min(losses), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(summary["val_accuracy"])


def test_the_last_epoch_becomes_the_model_if_asked_for_and_no_validation_is_needed(digits, prepared):
    settings = digits("train.choose=last", "data.validation=0")
    prepare(settings)
    summary = training.train(settings, Path("run"))
    assert (summary["chosen_epoch"], summary["val_loss"]) == (2, None)


def test_early_stopping_ends_a_run_that_no_longer_improves(digits):
    settings = digits(
        "train.epochs=30", "train.optimizer={name: sgd, learning_rate: 1.0e-9}", "train.early_stopping={patience: 2, min_delta: 0.01}"
    )
    assert training.train(settings)["epochs"] == 3


def test_a_plateau_lowers_the_rate_of_the_epochs_after_it(digits):
    training.train(digits("train.epochs=5", "train.plateau={patience: 2, factor: 0.5, min_delta: 100.0}"), Path("run"))
    rates = [epoch["learning_rate"] for epoch in Run(Path("run")).log]
    assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 5e-4, 5e-4])


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("strategy", ["{name: one_device}", "{name: mirrored, replicas: 2}"])
def test_the_average_over_updates_is_judged_and_kept_and_the_weights_go_on(digits, precision, strategy):
    """With a step an epoch and next to no decay of the newest weights, average and weights are nearly one; with much, they are not."""
    shared = (f"train.precision={precision}", f"train.strategy={strategy}", "train.batch_size=1294", "train.epochs=4", "train.choose=last")
    for name, more in (("plain", []), ("short", ["train.average_weights.decay=1.0e-9"]), ("long", ["train.average_weights.decay=0.9"])):
        training.train(digits(*shared, *more), Path(name))
    plain, short, long = (Run(Path(name)) for name in ("plain", "short", "long"))
    losses = [[epoch["loss"] for epoch in run.log] for run in (plain, short, long)]
    assert losses[0] == losses[1] == losses[2]  # training itself does not see the average
    for one, other in zip(weights(plain), weights(short), strict=True):
        numpy.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert [epoch["val_loss"] for epoch in long.log] != [epoch["val_loss"] for epoch in plain.log]
    assert any(numpy.abs(one - other).max() > 1e-4 for one, other in zip(weights(plain), weights(long), strict=True))


def test_averaged_weights_are_the_exponential_average_of_the_trained_ones(digits):
    from imgcls import building
    from imgcls.backend import keras

    settings = digits(f"train.optimizer={SGD % 0.5}".replace("}", ", momentum: 0.0}"), "train.average_weights.decay=0.75")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    optimizer, _ = building.build_optimizer(settings, 10)
    optimizer.build(model.trainable_variables)
    trained, average = 1.0, None
    for _ in range(5):
        optimizer.apply([numpy.array([[0.1]], numpy.float32)], model.trainable_variables)
        trained -= 0.5 * 0.1
        average = trained if average is None else 0.75 * average + 0.25 * trained
    with building.averaged(model, optimizer):
        assert model.trainable_variables[0].value.numpy().item() == pytest.approx(average, rel=1e-6)
    assert model.trainable_variables[0].value.numpy().item() == pytest.approx(trained, rel=1e-6)


@pytest.mark.parametrize("strategy", ["{name: one_device}", "{name: mirrored, replicas: 2}"])
def test_xla_gives_the_same_numbers(digits, strategy):
    shared = (*FLOAT64, f"train.strategy={strategy}", "model.pooling=1", "train.epochs=1")
    training.train(digits(*shared), Path("plain"))
    training.train(digits(*shared, "train.jit_compile=true"), Path("compiled"))
    plain, compiled = Run(Path("plain")).log[0], Run(Path("compiled")).log[0]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert plain[name] == pytest.approx(compiled[name], rel=1e-10)


def test_the_summary_says_what_limits_the_speed_and_which_stage_is_slowest(digits):
    speed = training.train(digits("train.epochs=1"))["speed"]
    assert re.fullmatch(
        r"the (device|loader) is the limit: in training steps it waited for data \d+\.\d% of the time; "
        r"the slowest stage is \w+ \(\d+\.\d (of \d+\.\d s|s of work beside the steps)\)",
        speed,
    )


def test_a_streamed_split_logs_what_reading_and_augmenting_cost(digits):
    training.train(digits("train.device_cache_mib=0", "augment=[{name: crop, padding: 1}]", "train.epochs=1"), Path("run"))
    stages = Run(Path("run")).log[0]["stage_seconds"]
    assert stages["reading"] > 0
    assert stages["augmentation"] > 0


def test_the_model_file_gives_probabilities_from_raw_pixels_without_imgcls(digits, prepared):
    training.train(digits(), Path("run"))
    code = (
        "import numpy, keras, sys\n"
        "model = keras.models.load_model('run/model.keras')\n"
        "images = numpy.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), numpy.uint8)\n"
        "rows = model.predict(images, verbose=0)\n"
        "assert not any(name.startswith('imgcls') for name in sys.modules)\n"
        "print(rows.shape, rows.dtype, abs(rows.sum(axis=1) - 1).max() < 1e-6)\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == "(5, 10) float32 True"


def test_the_run_folder_holds_what_the_design_says(digits):
    summary = training.train(digits(), Path("run"))
    run = Run(Path("run"))
    assert run.experiment == digits()
    assert list(run.log[0]) == [
        *("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy"),
        *("learning_rate", "seconds", "images_per_second", "input_wait", "stage_seconds"),
    ]
    assert (run.status["status"], run.status["step"], run.status["exit_status"]) == ("finished", 12, 0)
    assert run.data["sizes"] == {"train": 1294, "validation": 144, "test": 359}
    environment = json.loads(run.environment_file.read_text())
    assert environment["seed"] == 0
    assert environment["versions"]["keras"].startswith("3.")
    assert environment["devices"]
    assert 0 <= run.log[-1]["input_wait"] <= 1
    assert summary["epochs"] == 2


def test_a_batch_that_does_not_divide_among_the_devices_is_refused(digits):
    with pytest.raises(UserError, match=r"train\.batch_size is 255, which does not divide among 2 devices"):
        training.train(digits("train.batch_size=255", "train.strategy={name: mirrored, replicas: 2}"))


def torn(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(path):
    """Change one number, and write the archive anew: its own check values are right again."""
    with numpy.load(path) as archive:
        arrays = dict(archive)
    arrays["00000"] = arrays["00000"] + 1
    with path.open("wb") as stream:
        numpy.savez(stream, **arrays)


def emptied(path):
    path.write_bytes(b"")


@pytest.mark.parametrize("damage", [torn, corrupt, emptied])
def test_of_two_checkpoints_a_damaged_newest_one_is_named_and_the_one_before_continues_to_the_same_bits(digits, capsys, damage):
    settings = digits(*RICH, "train.epochs=3", "train.optimizer={name: sgd, learning_rate: 0.3}")
    training.train(settings, Path("whole"))
    training.train(settings, Path("run"))
    run = Run(Path("run"))
    newest, before = run.state_files()
    damage(newest)
    run.write_status("running", step=0)
    training.train(settings, Path("run"))
    notes = capsys.readouterr().err
    assert f"{newest} is damaged" in notes
    assert f"continuing from {before}, at step 12" in notes
    assert_same_result(Run(Path("whole")), run)


def test_where_no_checkpoint_is_whole_the_run_says_so_and_keeps_its_files(digits):
    training.train(digits(), Path("run"))
    run = Run(Path("run"))
    run.write_status("running", step=0)
    for path in run.state_files():
        torn(path)
    with pytest.raises(DataError, match=r"state-6\.npz is damaged \(.*\); delete the folder run/checkpoint"):
        training.train(digits(), Path("run"))
    assert len(run.state_files()) == 2
    assert (run.status["status"], run.status["exit_status"]) == ("failed", 3)


def test_a_checkpoint_holds_every_variable_and_the_counters(tmp_path):
    from imgcls.backend import keras

    variables = [keras.Variable(numpy.arange(3.0), name="one"), keras.Variable(numpy.eye(2), name="two")]
    checkpoint.save(tmp_path / "state.npz", variables, {"step": 3})
    for variable in variables:
        variable.assign(variable * 0)
    assert checkpoint.load(tmp_path / "state.npz", variables) == {"step": 3}
    numpy.testing.assert_array_equal(variables[0], numpy.arange(3.0))
    numpy.testing.assert_array_equal(variables[1], numpy.eye(2))
    with pytest.raises(UserError, match="holds other variables"):
        checkpoint.load(tmp_path / "state.npz", variables[::-1])


def start_process(path, folder):
    return subprocess.Popen(
        [sys.executable, "-m", "imgcls.cli", "train", str(path), "--run", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_a_step_inside_an_epoch(process, folder, steps_per_epoch):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "status.json").exists():
            step = json.loads((folder / "status.json").read_text()).get("step", 0)
            if step % steps_per_epoch:
                return step
        time.sleep(0.001)
    raise RuntimeError(f"no step inside an epoch was seen: {process.communicate()}")


def test_splits_that_are_streamed_give_the_same_bits_as_splits_that_live_on_the_device(digits):
    runs = []
    for name, mebibytes in (("resident", 512), ("streamed", 0)):
        training.train(digits(*RICH, f"train.device_cache_mib={mebibytes}"), Path(name))
        runs.append(Run(Path(name)))
    assert_same_result(*runs)


def test_a_batch_larger_than_the_split_is_trained_with_a_note(digits, capsys):
    training.train(digits("train.batch_size=2048", "train.epochs=1"), Path("run"))
    assert "train.batch_size is 2048, but there are 1294 training images" in capsys.readouterr().err
    assert Run(Path("run")).log[0]["step"] == 1


def test_a_kill_in_the_middle_of_writing_a_checkpoint_leaves_a_run_that_ends_with_the_same_bits(prepared, workspace):
    shutil.copytree(prepared / "data", workspace / "data")
    kills, torn, difference = chaos.torment("averaged weights", workspace, kills=2, epochs=12)
    assert kills >= 2
    assert torn >= 1
    assert difference == ""


@pytest.mark.parametrize("mebibytes", [512, 0], ids=["resident", "streamed"])
def test_memory_stays_flat_over_200_epochs(digits, mebibytes):
    from imgcls.run import create_run
    from imgcls.store import find_store
    from imgcls.trainer import Trainer

    settings = digits("train.epochs=200", "augment=[{name: crop, padding: 1}]", f"train.device_cache_mib={mebibytes}")
    trainer = Trainer(create_run(settings, Path("run")), settings, *find_store(settings))
    pages = [int(Path("/proc/self/statm").read_text().split()[1]) for _ in trainer.epochs(StopRequest())]
    assert len(pages) == 200
    assert (pages[-1] - pages[19]) * os.sysconf("SC_PAGE_SIZE") < 8 * 2**20


@pytest.mark.parametrize(("number", "exit_status"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 75)], ids=["kill -9", "SIGTERM"])
def test_a_process_stopped_inside_an_epoch_and_started_again_ends_with_the_same_bits(digits, prepared, number, exit_status):
    content = {**TINY, "data": {"name": "digits", "store": str(prepared / "data")}, "augment": [{"name": "crop", "padding": 1}]}
    content["train"] = {"epochs": 40, "batch_size": 64, "steps_per_call": 3, "checkpoint": {"steps": 5}}
    path = write_experiment(Path.cwd(), content)
    process = start_process(path, Path("parts"))
    wait_for_a_step_inside_an_epoch(process, Path("parts"), steps_per_epoch=21)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == exit_status
    assert "Traceback" not in stderr
    summary = json_of("train", path, "--run", "parts")
    assert summary["status"] == "finished"
    whole = json_of("train", path, "--run", "whole")
    different = ("run", "model", "seconds", "speed")
    assert {key: value for key, value in whole.items() if key not in different} == {
        key: value for key, value in summary.items() if key not in different
    }
    assert_same_result(Run(Path("whole")), Run(Path("parts")))


def test_a_second_signal_ends_the_process_in_the_middle_of_a_long_call(digits, prepared):
    content = {**TINY, "data": {"name": "digits", "store": str(prepared / "data")}}
    content["model"] = {"name": "cnn", "filters": [256, 256], "kernel_sizes": [5], "dense": [8]}
    content["train"] = {"epochs": 1, "batch_size": 1, "steps_per_call": 100_000}
    process = start_process(write_experiment(Path.cwd(), content), Path("run"))
    while not Run(Path("run")).state_files():
        time.sleep(0.01)
    time.sleep(2)  # now it compiles, or is in its one call of 1,294 steps
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - began < 1
    assert process.returncode == 75
    assert stderr.count("SIGTERM: stopping after the present steps; a second signal stops at once") == 1
    assert [path.name for path in Run(Path("run")).state_files()] == ["state-0.npz"]


def test_a_signal_during_the_very_last_step_loses_nothing(digits):
    settings = digits("train.steps_per_call=6", "train.epochs=1")
    whole = Run(Path(training.train(settings, Path("whole"))["run"]))
    done = threading.Event()
    interrupt_once(Path("parts"), done)
    with pytest.raises(Interrupted):
        training.train(settings, Path("parts"))
    done.set()
    assert Run(Path("parts")).status["step"] == 6
    training.train(settings, Path("parts"))
    assert_same_result(whole, Run(Path("parts")))
