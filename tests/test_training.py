"""Training: the same twice, the same on several devices, and what a run folder holds after it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy
import pytest
from experiments import (
    FLOAT64,
    MIRRORED,
    RICH,
    SGD,
    assert_same_result,
    command,
    log_without_times,
    weights,
)

from imgcls.errors import DataError, OutOfMemoryError, UserError
from imgcls.io.signals import StopRequest
from imgcls.run import Run
from imgcls.verbs import train
from imgcls.verbs.prepare import prepare


def test_the_same_command_twice_gives_the_same_bits(digits):
    settings = digits(*RICH)
    first, second = (Run(Path(train.train(settings)["run"])) for _ in range(2))
    assert (first.folder, second.folder) == (Path("runs/tiny/1"), Path("runs/tiny/2"))
    assert_same_result(first, second)


def test_another_seed_gives_another_result(digits, prepared):
    other = digits("seed=1")
    prepare(other)
    first, second = (Run(Path(train.train(settings)["run"])) for settings in (digits(), other))
    assert log_without_times(first) != log_without_times(second)


def test_one_and_two_devices_give_the_same_weights_in_float64(digits):
    overrides = ("train.precision=float64", "model.dropout=0.0", "model.l2=0.001", *RICH)
    one = Run(Path(train.train(digits(*overrides))["run"]))
    two = Run(
        Path(train.train(digits(*overrides, "train.strategy={name: mirrored, replicas: 2}"))["run"])
    )
    for key in ("loss", "accuracy", "val_loss", "val_accuracy"):
        numpy.testing.assert_allclose(
            [getattr(epoch, key) for epoch in one.log],
            [getattr(epoch, key) for epoch in two.log],
            rtol=1e-12,
        )
    for mine, theirs in zip(weights(one), weights(two), strict=True):
        numpy.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)


def test_a_folder_whose_run_never_saved_a_state_takes_the_corrected_experiment(digits):
    with pytest.raises(UserError, match="too small for 5 blocks"):
        train.train(digits("model.filters=[4,4,4,4,4]"), Path("run"))
    train.train(digits("train.epochs=1"), Path("run"))
    assert Run(Path("run")).experiment == digits("train.epochs=1")


def test_a_lost_model_file_is_named_and_written_anew(digits, capsys):
    settings = digits()
    train.train(settings, Path("run"))
    run = Run(Path("run"))
    model = run.model_file.read_bytes()
    for damage, problem in (
        (lambda: run.model_file.write_bytes(model[:100]), "run/model.keras is damaged ("),
        (run.model_file.unlink, "cannot read run/model.keras: No such file or directory; "),
    ):
        damage()
        exit_code, _, stderr = command("eval", "run")
        assert exit_code == 3
        assert problem in stderr
        assert "run the training command again" in stderr
    train.train(settings, Path("run"))
    assert run.model_file.read_bytes() == model


def test_a_finished_run_says_so_and_is_left_alone(digits, capsys):
    settings = digits()
    first = train.train(settings, Path("run"))
    before = {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")}
    assert train.train(settings, Path("run")) == first
    assert "run is finished" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in Path("run").rglob("*")} == before


def test_without_a_folder_the_newest_unfinished_run_is_continued(digits, capsys):
    settings = digits()
    train.train(settings)
    run = Run(Path("runs/tiny/1"))
    run.write_status("running", step=0)
    assert train.train(settings)["run"] == "runs/tiny/1"
    assert "continuing runs/tiny/1" in capsys.readouterr().err
    assert train.train(digits("train.epochs=1"))["run"] == "runs/tiny/2"


def test_a_run_of_another_experiment_is_refused_with_the_differences(digits):
    train.train(digits(), Path("run"))
    with pytest.raises(UserError, match="holds a run of another experiment") as error:
        train.train(digits("model.filters=[5]", "model.dropout=0.1"), Path("run"))
    assert "  model.filters.0: 4 there, 5 here" in str(error.value)
    assert "  model.dropout: 0.5 there, 0.1 here" in str(error.value)


def test_a_folder_with_other_files_is_refused(digits):
    Path("run").mkdir()
    Path("run/thesis.txt").write_text("")
    with pytest.raises(UserError, match="exists, but is not a run"):
        train.train(digits(), Path("run"))


@pytest.mark.parametrize("strategy", ["{name: one_device}", "{name: mirrored, replicas: 2}"])
def test_bfloat16_trains_nearly_as_float32_does(digits, strategy):
    shared = (f"train.strategy={strategy}", "model.dropout=0", "train.epochs=2")
    losses = []
    for precision in ("float32", "mixed_bfloat16"):
        train.train(digits(*shared, f"train.precision={precision}"), Path(precision))
        losses.append(Run(Path(precision)).log[-1].val_loss)
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


@pytest.mark.parametrize(
    "overrides",
    [("train.micro_batch_size=64",), ("train.micro_batch_size=64", MIRRORED)],
    ids=["one_device", "mirrored"],
)
def test_micro_batches_add_up_to_the_global_batch(digits, overrides):
    train.train(digits(*FLOAT64), Path("whole"))
    train.train(digits(*FLOAT64, *overrides), Path("parts"))
    whole, parts = Run(Path("whole")), Run(Path("parts"))
    assert parts.status.accumulation_steps == (2 if MIRRORED in overrides else 4)
    for one, other in zip(whole.log, parts.log, strict=True):
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-12)
    for one, other in zip(weights(whole), weights(parts), strict=True):
        numpy.testing.assert_allclose(one, other, atol=1e-12)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (("train.micro_batch_size=64", "model.batch_norm=true"), 4),
        (("train.micro_batch_size=64", "model.batch_norm=true", MIRRORED), 2),
        (("train.micro_batch_size=64",), None),
        (("model.batch_norm=true",), None),
    ],
)
def test_a_note_says_once_that_batch_norm_sees_parts_of_a_batch_and_only_where_it_does(
    digits, capsys, overrides, parts
):
    train.train(digits("train.epochs=1", *overrides), Path("run"))
    notes = [line for line in capsys.readouterr().err.splitlines() if "batch norm" in line]
    said = (
        f"note: batches of 256 images are divided into {parts} micro-batches, and the batch norm of"
        " model cnn sees each, "
    )
    assert [note.partition(" images, by itself")[0] for note in notes] == (
        [f"{said}{256 // parts}"] if parts else []
    )


def test_a_micro_batch_that_does_not_divide_the_batch_is_refused_with_those_that_do(digits):
    with pytest.raises(
        UserError,
        match=r"micro_batch_size is 100, .* 256 .* use one of 1, 2, 4, 8, 16, 32, 64, 128, 256",
    ):
        train.train(digits("train.micro_batch_size=100"))


@pytest.mark.parametrize(
    ("rows", "present", "expected"),
    [(128, 1, 2), (128, 64, 128), (6, 1, 2), (6, 2, 6), (9, 1, 3), (7, 1, 7)],
)
def test_out_of_memory_asks_for_equal_parts_of_at_most_half_the_size(rows, present, expected):
    from imgcls.backend import tf
    from imgcls.training import micro_batches

    error = tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor {{node x}}")
    assert micro_batches.increase_accumulation_steps(rows, present, error) == expected
    with pytest.raises(
        OutOfMemoryError,
        match=(
            r"out of memory with one image at a time \(OOM when allocating tensor\); use a smaller"
        ),
    ):
        micro_batches.increase_accumulation_steps(rows, rows, error)


def test_choosing_the_best_epoch_needs_a_validation_split(digits, prepared):
    prepare(digits("data.validation=0"))
    with pytest.raises(
        UserError, match=r"the validation split is empty, but train\.select_weights: best"
    ):
        train.train(digits("data.validation=0"))
    assert not Path("runs").exists()


def test_missing_data_is_named_with_the_command_that_makes_it(digits):
    with pytest.raises(DataError, match="imgcls prepare"):
        train.train(digits("data.store_dir=nowhere"))


def test_a_run_whose_data_is_gone_does_not_continue_on_other_data(digits):
    settings = digits()
    train.train(settings, Path("run"))
    run = Run(Path("run"))
    data = run.data
    run.data_file.write_text(json.dumps({**data.model_dump(), "fingerprint": "0" * 64}))
    run.write_status("running", step=0)
    with pytest.raises(DataError, match=r"the run's data, .*digits-000000000000, does not exist"):
        train.train(settings, Path("run"))


def test_the_best_epoch_on_validation_becomes_the_model(digits):
    settings = digits(
        "train.epochs=6",
        "train.optimizer={name: sgd, learning_rate: 0.3}",
        "train.monitor=val_loss",
    )
    summary = train.train(settings, Path("run"))
    run = Run(Path("run"))
    losses = [epoch.val_loss for epoch in run.log]
    assert summary["selected_epoch"] == losses.index(min(losses)) + 1
    steps = len(losses), len(losses) - 1  # the last two states, each with the best of its epochs
    assert {path.name for path in run.best_weights_files()} == {
        f"best-{losses.index(min(losses[:step])) + 1}.npz" for step in steps
    }
    exit_code, _, _ = command("eval", "run", "--split", "validation")
    assert exit_code == 0
    metrics = json.loads(run.metrics_file("validation").read_text())["metrics"]
    assert metrics["log_loss"] == pytest.approx(min(losses), rel=1e-5)
    assert metrics["accuracy"] == pytest.approx(summary["val_accuracy"])


def test_the_last_epoch_becomes_the_model_if_asked_for_and_no_validation_is_needed(
    digits, prepared
):
    settings = digits("train.select_weights=last", "data.validation=0")
    prepare(settings)
    summary = train.train(settings, Path("run"))
    assert (summary["selected_epoch"], summary["val_loss"]) == (2, None)


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


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
@pytest.mark.parametrize("strategy", ["{name: one_device}", "{name: mirrored, replicas: 2}"])
def test_the_average_over_updates_is_judged_and_kept_and_the_weights_go_on(
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
    from imgcls.backend import keras
    from imgcls.training import build

    settings = digits(
        f"train.optimizer={SGD % 0.5}".replace("}", ", momentum: 0.0}"), "train.ema.decay=0.75"
    )
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")]
    )
    optimizer, _ = build.build_optimizer(settings, 10)
    optimizer.build(model.trainable_variables)
    trained, average = 1.0, None
    for _ in range(5):
        optimizer.apply([numpy.array([[0.1]], numpy.float32)], model.trainable_variables)
        trained -= 0.5 * 0.1
        average = trained if average is None else 0.75 * average + 0.25 * trained
    with build.use_averaged_weights(model, optimizer):
        assert model.trainable_variables[0].value.numpy().item() == pytest.approx(average, rel=1e-6)
    assert model.trainable_variables[0].value.numpy().item() == pytest.approx(trained, rel=1e-6)


@pytest.mark.parametrize("strategy", ["{name: one_device}", "{name: mirrored, replicas: 2}"])
def test_xla_gives_the_same_numbers(digits, strategy):
    shared = (*FLOAT64, f"train.strategy={strategy}", "model.pooling=1", "train.epochs=1")
    train.train(digits(*shared), Path("plain"))
    train.train(digits(*shared, "train.jit_compile=true"), Path("compiled"))
    plain, compiled = Run(Path("plain")).log[0], Run(Path("compiled")).log[0]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert getattr(plain, name) == pytest.approx(getattr(compiled, name), rel=1e-10)


def test_the_summary_says_what_limits_the_speed_and_which_stage_is_slowest(digits):
    speed = train.train(digits("train.epochs=1"))["speed"]
    assert re.fullmatch(
        r"the (device|loader) is the limit: in training steps it waited for data \d+\.\d% of the"
        r" time; "
        r"the slowest stage is \w+ \(\d+\.\d (of \d+\.\d s|s of work beside the steps)\)",
        speed,
    )


def test_a_streamed_split_logs_what_reading_and_augmenting_cost(digits):
    train.train(
        digits(
            "train.device_cache_mib=0",
            "augment=[{name: random_crop, padding: 1}]",
            "train.epochs=1",
        ),
        Path("run"),
    )
    stages = Run(Path("run")).log[0].stage_seconds
    assert stages.reading > 0
    assert stages.augmentation > 0


def test_the_model_file_gives_probabilities_from_raw_pixels_without_imgcls(digits, prepared):
    train.train(digits(), Path("run"))
    code = (
        "import numpy, keras, sys\n"
        "model = keras.models.load_model('run/model.keras')\n"
        "images = numpy.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), numpy.uint8)\n"
        "rows = model.predict(images, verbose=0)\n"
        "assert not any(name.startswith('imgcls') for name in sys.modules)\n"
        "print(rows.shape, rows.dtype, abs(rows.sum(axis=1) - 1).max() < 1e-6)\n"
    )
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert result.stdout.strip() == "(5, 10) float32 True"


def test_the_run_folder_holds_what_the_design_says(digits):
    summary = train.train(digits(), Path("run"))
    run = Run(Path("run"))
    assert run.experiment == digits()
    assert list(run.log[0].model_dump()) == [
        *("epoch", "step", "loss", "accuracy", "val_loss", "val_accuracy"),
        *("learning_rate", "seconds", "images_per_second", "input_wait", "stage_seconds"),
    ]
    assert (run.status.status, run.status.step, run.status.exit_code) == (
        "finished",
        12,
        0,
    )
    assert run.data.sizes == {"train": 1294, "validation": 144, "test": 359}
    environment = json.loads(run.environment_file.read_text())
    assert environment["seed"] == 0
    assert environment["versions"]["keras"].startswith("3.")
    assert environment["devices"]
    assert 0 <= run.log[-1].input_wait <= 1
    assert summary["epochs"] == 2


def test_a_batch_that_does_not_divide_among_the_devices_is_refused(digits):
    with pytest.raises(
        UserError, match=r"train\.batch_size is 255, which does not divide among 2 devices"
    ):
        train.train(digits("train.batch_size=255", "train.strategy={name: mirrored, replicas: 2}"))


def test_splits_that_are_streamed_give_the_same_bits_as_splits_that_live_on_the_device(digits):
    runs = []
    for name, mebibytes in (("resident", 512), ("streamed", 0)):
        train.train(digits(*RICH, f"train.device_cache_mib={mebibytes}"), Path(name))
        runs.append(Run(Path(name)))
    assert_same_result(*runs)


def test_a_batch_larger_than_the_split_is_trained_with_a_note(digits, capsys):
    train.train(digits("train.batch_size=2048", "train.epochs=1"), Path("run"))
    assert "train.batch_size is 2048, but there are 1294 training images" in capsys.readouterr().err
    assert Run(Path("run")).log[0].step == 1


@pytest.mark.parametrize("mebibytes", [512, 0], ids=["resident", "streamed"])
def test_memory_stays_flat_over_200_epochs(digits, mebibytes):
    from imgcls.run import create_run
    from imgcls.store.lookup import find_store
    from imgcls.training.trainer import Trainer

    settings = digits(
        "train.epochs=200",
        "augment=[{name: random_crop, padding: 1}]",
        f"train.device_cache_mib={mebibytes}",
    )
    trainer = Trainer(create_run(settings, Path("run")), settings, *find_store(settings))
    pages = [
        int(Path("/proc/self/statm").read_text().split()[1]) for _ in trainer.epochs(StopRequest())
    ]
    assert len(pages) == 200
    assert (pages[-1] - pages[19]) * os.sysconf("SC_PAGE_SIZE") < 8 * 2**20
