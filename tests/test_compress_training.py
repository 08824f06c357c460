"""`compress` by methods that train: `prune` and `distill`."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from compression_tables import measure_quickly
from experiments import MIRRORED, assert_same_result, command, experiment, json_of, weights

from imgcls.compression.table_record import find_table
from imgcls.errors import Interrupted, UserError
from imgcls.run import Run
from imgcls.verbs import compress
from imgcls.verbs.train import train

MODEL = "{name: cnn, filters: [8, 16], dense: [16], batch_norm: true, dropout: 0.2}"
PRUNE = {"name": "prune", "steps": 2, "epochs": 1, "multiple_of": 1}
LEARNS = ("train.epochs=6", "train.batch_size=64", "train.optimizer.learning_rate=0.01")
DISTILL = {
    "name": "distill",
    "student": {"name": "cnn", "filters": [2], "dense": []},
    "epochs": 2,
    "attention": 1.0,
}

OF_EXTRAS = [pytest.mark.extras, pytest.mark.filterwarnings("default")]  # the libraries' own
pytestmark = pytest.mark.usefixtures("quick_measurement")


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    """A folder with a finished run, `original`, and what pruning makes of it, `pruned`."""
    folder = tmp_path_factory.mktemp("compressible")
    store = f"data.store_dir={prepared / 'data'}"
    run = folder / "original"
    settings = f"model={MODEL}", "train.epochs=1", "train.checkpoint=2 steps"
    train(experiment(folder, store, *settings), run)
    with pytest.MonkeyPatch.context() as patched:
        measure_quickly(patched)
        apply(Run(run), PRUNE, folder / "pruned")
    return folder


@pytest.fixture
def original(copied):
    """A finished run in the current folder."""
    return Run(copied / "original")


@pytest.fixture
def pruned(copied):
    """The run that pruning makes of it."""
    return Run(copied / "pruned")


def apply(run, method, folder=None):
    """Return the run that a method makes."""
    content = run.experiment.model_dump() | {"compress": [method]}
    table = compress.compress(run, type(run.experiment).model_validate(content), folder)
    return Run(Path(table.run))


def count(run):
    from imgcls.backend import keras
    from imgcls.models._cost import count_multiply_adds

    return count_multiply_adds(keras.models.load_model(run.model_file, compile=False))


def test_a_pruned_run_keeps_the_budget_and_is_evaluated_like_any_other(original, pruned):
    assert count(pruned) <= count(original) / 2
    (step,) = pruned.compression.steps
    assert step.details["multiply_adds"] == [count(original), count(pruned)]
    assert step.details["channels"]["logits"] == [10, 10]
    assert step.details["kept_through"] == {}
    assert len(pruned.log) == 1
    assert 0 < json_of("eval", pruned.folder)["metrics"]["accuracy"] <= 1


@pytest.mark.parametrize(
    "method",
    ["fold", "prune", pytest.param("quantize", marks=OF_EXTRAS)],
)
def test_a_compressed_run_is_plotted_and_compared_with_its_original(original, pruned, method):
    made = pruned if method == "prune" else apply(original, {"name": method})
    (found,) = json_of("compare", original.folder, made.folder)["comparisons"]
    (accuracy,) = (each for each in found["metrics"] if each["metric"] == "accuracy")
    test = find_table(made).compared[-1]
    assert (accuracy["old"], accuracy["new"]) == (test.original, test.accuracy)
    assert accuracy["difference"] == pytest.approx(test.difference)
    names = ("compression", "confusion_matrix", "learning_curves")
    assert json_of("plot", made.folder, *names) == [
        *[str(made.figure_file(name)) for name in names],
        str(made.report_page),
    ]


def stop_after(monkeypatch, number):
    """Let the training of a given number end before it starts, as by a signal."""
    from imgcls.training import worker

    whole, calls = worker.train_run, []

    def stop(*arguments, **settings):
        calls.append(arguments)
        if len(calls) == number:
            raise Interrupted("SIGTERM", "run it again")
        return whole(*arguments, **settings)

    monkeypatch.setattr(worker, "train_run", stop)


@pytest.mark.parametrize(("method", "number"), [(PRUNE, 2), (DISTILL, 1)])
def test_the_same_command_continues_an_interrupted_compression_to_the_same_bits(
    original, pruned, method, number, monkeypatch
):
    whole = pruned if method == PRUNE else apply(original, method)
    folder = original.folder.with_name("stopped")
    with monkeypatch.context() as patched:
        stop_after(patched, number)
        with pytest.raises(Interrupted):
            apply(original, method, folder)
    assert_same_result(apply(original, method, folder), whole)


@pytest.mark.full
def test_a_compression_that_is_killed_in_its_second_training_continues_to_the_same_bits(
    original, pruned
):
    folder = original.folder.with_name("killed")
    second = Run(folder).training_folder(1, 2)
    settings = [f"--set=compress.0.{key}={value}" for key, value in PRUNE.items() if key != "name"]
    command_line = ["compress", original.folder, "--method", "prune", *settings, "--run", folder]
    process = subprocess.Popen([sys.executable, "-m", "imgcls.cli", *map(str, command_line)])
    while process.poll() is None and not Run(second).state_files():
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert Run(folder).status.status == "running"
    assert Run(second).status.status == "running"
    exit_code, _, _ = command(*command_line)
    assert exit_code == 0
    assert_same_result(Run(folder), pruned)
    assert not second.exists()


@pytest.mark.full
@pytest.mark.parametrize(
    "override", [MIRRORED, "train.precision=mixed_bfloat16"], ids=["mirrored", "mixed_bfloat16"]
)
def test_pruning_trains_on_several_devices_and_in_half_precision(prepared, tmp_path, override):
    store = f"data.store_dir={prepared / 'data'}"
    settings = experiment(tmp_path, store, f"model={MODEL}", *LEARNS, override)
    train(settings, tmp_path / "original")
    made = apply(Run(tmp_path / "original"), PRUNE | {"learning_rate_factor": 1.0, "epochs": 2})
    assert made.experiment.train.precision == settings.train.precision
    assert made.experiment.train.strategy == settings.train.strategy
    assert count(made) <= count(Run(tmp_path / "original")) / 2
    assert all(numpy.isfinite(each).all() for each in weights(made))
    (found,) = find_table(made).compared[:1]
    assert found.accuracy > 0.3


def test_an_unreachable_budget_is_an_error_before_anything_is_trained(original):
    with pytest.raises(UserError, match=r"cannot be reached: .* in layer \w+, .*give at least"):
        apply(original, PRUNE | {"multiply_adds": "1%", "min_fraction": 0.5})


def test_a_distilled_run_is_the_student_and_names_its_teacher(original):
    made = apply(original, DISTILL)
    assert made.experiment.model.filters == [2]
    assert made.experiment.train.distillation.teacher == str(original.folder)
    recorded = json.loads(made.teacher_file.read_text())["model_sha256"]
    assert recorded == made.compression.original_sha256
    before, after = made.compression.steps[0].details["parameters"]
    assert after == sum(numpy.size(each) for each in weights(made))
    assert after < before
    assert len(made.log) == 2


def test_distill_is_the_first_method(original):
    exit_code, _, stderr = command(
        "compress", original.folder, "--method", "fold", "--method", "distill"
    )
    assert exit_code == 2
    assert "must be the first method" in stderr
