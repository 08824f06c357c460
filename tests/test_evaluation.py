"""`eval` measures a run from its saved predictions, writes what it found, and checks gates last."""

import json
import subprocess
import sys

import numpy
import pytest
from experiments import command, describe_data, describe_model, json_of
from rich.cells import cell_len
from sklearn.metrics import accuracy_score, f1_score

from imgcls.config import Experiment
from imgcls.errors import DataError, DivergenceError, GateError, UserError
from imgcls.evaluation import predictions
from imgcls.evaluation.predictions import Predictions
from imgcls.io import files
from imgcls.io.records import write_record
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.store.manifest import DataDescription
from imgcls.training.model_description import read_description
from imgcls.verbs import evaluate
from imgcls.verbs.prepare import prepare

CLASSES = [
    "cat",
    "dog",
    "\x1b[31mred\n",
    "an animal with a name that is far too long for a table",
    "absent",
    "日本",
]
EXPERIMENT = {
    "name": "animals",
    "data": {"name": "digits"},
    "model": {"name": "cnn"},
    "evaluate": {"bootstrap_samples": 100},
}


def make_experiment(**evaluate) -> Experiment:
    return Experiment.model_validate(
        {**EXPERIMENT, "evaluate": {"bootstrap_samples": 100, **evaluate}}
    )


def make_predictions(model: str, images: int = 60) -> Predictions:
    generator = numpy.random.default_rng(0)
    labels = generator.choice([0, 1, 2, 3, 5], size=images).astype(numpy.int32)
    scores = numpy.exp(
        generator.normal(size=(images, len(CLASSES))) + 2 * numpy.eye(len(CLASSES))[labels]
    )
    probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(numpy.float32)
    ids = [f"image {i}" for i in range(images)]
    return Predictions(probabilities, labels, ids, CLASSES, model, 1.0)


@pytest.fixture
def run(tmp_path) -> Run:
    """A finished run with saved predictions on the test split; neither its model nor its store can
    be read.
    """
    run = Run(tmp_path / "run")
    files.write_text(run.config_file, make_experiment().to_yaml())
    files.write_text(run.model_file, "not a model")
    describe_data(run, CLASSES, {"train": 200, "validation": 0, "test": 60})
    predictions.save(
        make_predictions(files.compute_sha256(run.model_file)), run.predictions_file("test")
    )
    run.write_status("finished", step=1)
    return run


def test_the_summary_equals_metrics_json(run):
    summary = evaluate.evaluate(run, make_experiment(), "test")
    assert run.read_evaluation("test") == summary
    assert list(json.loads(run.metrics_file("test").read_text())) == [
        "split", "examples", "classes", "classes_absent", "model",
        "metrics", "intervals", "wilson_intervals", "confidence", "bootstrap_samples", "per_class",
        "tables", "matrices", "tta",
    ]  # fmt: skip


def test_the_metrics_are_computed_from_the_saved_predictions(run):
    summary = evaluate.evaluate(run, make_experiment(), "test")
    saved = predictions.load(run, "test")
    assert summary.metrics["accuracy"] == accuracy_score(saved.labels, saved.predicted)
    assert summary.metrics["macro_f1"] == pytest.approx(
        f1_score(saved.labels, saved.predicted, labels=[0, 1, 2, 3, 5], average="macro")
    )
    assert summary.examples == 60
    assert summary.model == files.compute_sha256(run.model_file)
    assert summary.classes_absent == ["absent"]
    assert summary.per_class["support"] == numpy.bincount(saved.labels, minlength=6).tolist()


def test_the_same_evaluation_twice_writes_the_same_bytes(run):
    evaluate.evaluate(run, make_experiment(), "test")
    first = run.metrics_file("test").read_bytes(), run.report_file("test").read_bytes()
    evaluate.evaluate(run, make_experiment(), "test")
    assert (run.metrics_file("test").read_bytes(), run.report_file("test").read_bytes()) == first


def test_only_the_named_metrics_get_an_interval_which_includes_their_value(run):
    summary = evaluate.evaluate(run, make_experiment(intervals=["accuracy", "log_loss"]), "test")
    assert list(summary.intervals) == ["accuracy", "log_loss"]
    for name, (low, high) in summary.intervals.items():
        assert low < summary.metrics[name] < high


def test_only_the_metrics_of_the_experiment_are_computed(run):
    summary = evaluate.evaluate(
        run, make_experiment(metrics=[{"name": "brier"}, {"name": "top_k", "k": 2}]), "test"
    )
    assert list(summary.metrics) == ["brier", "top_2_accuracy"]
    assert list(summary.intervals) == ["brier"]
    assert summary.per_class == summary.matrices == {}
    assert list(summary.tables) == ["temperature_scaling", "worst_classes", "hardest_images"]


def test_saved_predictions_are_evaluated_without_tensorflow_and_without_the_store(run):
    program = (
        "import sys; from pathlib import Path; from imgcls.verbs import evaluate; from imgcls.run"
        " import Run\nrun = Run(Path(sys.argv[1])); evaluate.evaluate(run, run.experiment,"
        " 'test')\nprint([name for name in ('tensorflow', 'keras', 'matplotlib', 'sklearn') if name"
        " in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, run.folder],
        capture_output=True,
        text=True,
        check=True,
        cwd=run.folder,
    )
    assert done.stdout == "[]\n"
    assert "validation split: it has no images" in done.stderr


def test_predictions_of_another_model_are_not_used(run):
    files.write_text(run.model_file, "another model")
    with pytest.raises(DataError, match="prepare"):
        evaluate.evaluate(run, make_experiment(), "test")
    assert not run.metrics_file("test").exists()


def test_damaged_predictions_are_made_again_with_a_note(run, capsys):
    whole = run.predictions_file("test").read_bytes()
    run.predictions_file("test").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="prepare"):
        evaluate.evaluate(run, make_experiment(), "test")
    assert "predictions.npz is damaged" in capsys.readouterr().err


def test_an_empty_split_is_an_error_that_lists_the_others(run):
    with pytest.raises(
        UserError, match=r"validation split .* has no images; choose one that has: train, test"
    ):
        evaluate.evaluate(run, make_experiment(), "validation")


def test_an_unknown_split_is_an_error(run):
    with pytest.raises(
        UserError,
        match=r"no split 'tests'; allowed: train, validation, test \(did you mean 'test'\?\)",
    ):
        evaluate.evaluate(run, make_experiment(), "tests")


def test_a_failed_gate_exits_with_code_6_after_writing_all_files(run):
    exit_code, stdout, stderr = command(
        "eval", run.folder, "--fail-under", "accuracy=0.99", "--fail-under", "macro_roc_auc=0.1"
    )
    assert exit_code == 6
    assert "1 of 2 gates failed: accuracy is 0." in stderr
    assert stdout == run.report_file("test").read_text(encoding="utf-8")
    assert json.loads(run.metrics_file("test").read_text())["metrics"]["accuracy"] < 0.99


def test_a_failed_gate_is_the_same_for_a_python_caller(run):
    with pytest.raises(GateError, match=r"1 of 2 gates failed: accuracy is 0\.") as failure:
        evaluate.evaluate(run, fail_under={"accuracy": 0.99, "macro_roc_auc": 0.1})
    assert failure.value.result == run.read_evaluation("test")
    exit_code, stdout, stderr = command(
        "eval", run.folder, "--json", "--fail-under", "accuracy=0.99", "--fail-under",
        "macro_roc_auc=0.1",
    )  # fmt: skip
    assert (exit_code, stderr.splitlines()[-1]) == (6, f"imgcls: {failure.value}")
    assert json.loads(stdout) == failure.value.result.model_dump(mode="json")


def test_a_gate_that_holds_passes(run):
    printed = json_of("eval", run.folder, "--fail-under", "accuracy=0.1")
    assert printed["metrics"]["accuracy"] >= 0.1
    found = evaluate.evaluate(run, fail_under={"accuracy": 0.1})
    assert printed == found.model_dump(mode="json")


def test_a_python_caller_cannot_evaluate_an_unfinished_run(run):
    run.write_status("interrupted", step=1)
    with pytest.raises(DataError, match="is interrupted, not finished"):
        evaluate.evaluate(run)


def test_an_invalid_gate_is_an_error_before_any_work(run):
    exit_code, _, stderr = command("eval", run.folder, "--fail-under", "brierscore=1")
    assert exit_code == 2
    with pytest.raises(UserError, match="does not compute a metric 'brierscore'") as e:
        evaluate.evaluate(run, fail_under={"brierscore": 1})
    assert stderr == f"imgcls: {e.value}\n"
    assert not run.metrics_file("test").exists()


def test_the_report_names_every_number_and_class_in_printable_aligned_text(run):
    summary = evaluate.evaluate(run, make_experiment(), "test")
    report = run.report_file("test").read_text(encoding="utf-8")
    lines = report.splitlines()
    assert set(summary.metrics) <= {line.split()[0] for line in lines if line}
    assert "absent from this split: absent" in report
    assert all(character.isprintable() or character == "\n" for character in report)
    start = next(i for i, line in enumerate(lines) if line.startswith("class "))
    widths = {cell_len(line) for line in lines[start : start + 1 + len(CLASSES)]}
    assert len(widths) == 1
    assert widths.pop() <= 80


def test_a_report_of_100_classes_has_a_line_for_each(run):
    classes = [f"class {i}" for i in range(100)]
    labels = numpy.arange(100, dtype=numpy.int32)
    made = Predictions(
        numpy.eye(100, dtype=numpy.float32),
        labels,
        list(map(str, labels)),
        classes,
        files.compute_sha256(run.model_file),
        1.0,
    )
    predictions.save(made, run.predictions_file("test"))
    describe_data(run, classes, {"train": 100, "validation": 0, "test": 100})
    evaluate.evaluate(run, make_experiment(), "test")
    assert (
        sum(
            line.startswith("class ") and "1.0000" in line
            for line in run.report_file("test").read_text(encoding="utf-8").splitlines()
        )
        == 100
    )


@pytest.fixture
def trained(tmp_path) -> Run:
    """A run on the prepared digits, whose model is a dense layer with random weights; nothing is
    predicted yet.
    """
    from imgcls.backend import keras
    from imgcls.training import model_file

    data = {"name": "digits", "store_dir": str(tmp_path / "data")}
    experiment = Experiment.model_validate({**EXPERIMENT, "data": data})
    run = Run(tmp_path / "run")
    files.write_text(run.config_file, experiment.to_yaml())
    described = prepare(experiment)
    names = DataDescription.model_fields
    write_record(
        run.data_file, DataDescription(**{name: getattr(described, name) for name in names})
    )
    images = keras.Input(described.shape, dtype="uint8")
    dense = keras.layers.Dense(len(described.classes), activation="softmax")
    model = keras.Sequential([images, keras.layers.Flatten(), dense])
    description = describe_model(run.data.classes, run.data.shape, temperature=1.5)
    own = description.model_copy(update={"fingerprint": run.data.fingerprint})
    model_file.save_model(model, own, run.model_file)
    run.write_status("finished", step=1)
    return run


def test_predictions_are_made_once_with_the_labels_and_ids_of_the_store(trained):
    summary = evaluate.evaluate(trained, trained.experiment, "test")
    saved = predictions.load(trained, "test")
    held, cut = lookup.open_run_store(trained.data, trained.experiment.data.store_dir)
    assert saved.labels.tolist() == held.labels[cut.test].tolist()
    assert saved.ids == held.get_ids(cut.test)
    assert saved.temperature == 1.5
    assert saved.probabilities.sum(axis=1) == pytest.approx(numpy.ones(len(cut.test)), abs=1e-5)
    held.folder.rename(held.folder.with_name("gone"))
    assert evaluate.evaluate(trained, trained.experiment, "test") == summary


def test_a_model_that_predicts_nan_is_an_error_and_nothing_is_saved(trained):
    from imgcls.backend import keras
    from imgcls.training import model_file

    model = keras.models.load_model(trained.model_file)
    model.set_weights([numpy.full_like(weight, numpy.nan) for weight in model.get_weights()])
    description = read_description(trained.model_file)
    model_file.save_model(model, description, trained.model_file)
    with pytest.raises(DivergenceError, match=r"not finite for \d+ of \d+ images"):
        evaluate.evaluate(trained, trained.experiment, "validation")
    assert not trained.predictions_file("validation").exists()
