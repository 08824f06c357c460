"""`compress` by methods that train: `prune` and `distill`."""

import json
from pathlib import Path

import numpy
import pytest
from compression_tables import replace_memory
from experiments import assert_same_result, command, experiment, json_of, weights

from imgcls.compression.table_record import find_table
from imgcls.errors import Interrupted, UserError
from imgcls.run import Run
from imgcls.verbs import compress
from imgcls.verbs.train import train

MODEL = "{name: cnn, filters: [8, 16], dense: [16], batch_norm: true, dropout: 0.2}"
PRUNE = {"name": "prune", "steps": 2, "epochs": 1, "multiple_of": 1}
DISTILL = {
    "name": "distill",
    "student": {"name": "cnn", "filters": [2], "dense": []},
    "epochs": 2,
    "attention": 1.0,
}

OF_EXTRAS = [pytest.mark.extras, pytest.mark.filterwarnings("default")]  # the libraries' own
pytestmark = pytest.mark.usefixtures("no_memory_measured")


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    """A folder with a finished run, `original`, and what pruning makes of it, `pruned`."""
    folder = tmp_path_factory.mktemp("compressible")
    store = f"data.store_dir={prepared / 'data'}"
    run = folder / "original"
    train(experiment(folder, store, f"model={MODEL}", "train.epochs=1"), run)
    with pytest.MonkeyPatch.context() as patched:
        replace_memory(patched)
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
