"""Metrics that choose thresholds on the validation split get the model's predictions on it."""

import dataclasses
import json
from pathlib import Path

import pytest
from experiments import change_json, command
from synthetic_run import make_predictions, make_run

from imgcls.evaluation import predictions
from imgcls.evaluation.predictions import Predictions
from imgcls.figures import Subject
from imgcls.io import files
from imgcls.run import Run
from imgcls.verbs import evaluate

CHOSEN = {"selective_precision", "selective_coverage"} | {
    f"{name}_{number}" for name in ("lac", "aps", "raps") for number in ("coverage", "set_size")
}
"""The numbers that depend on thresholds."""
NAMES = "conformal, risk_coverage"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", evaluate={"bootstrap_samples": 100})


def save_validation(run: Run, **changes: object) -> Predictions:
    """Save predictions on the validation split, as many as data.json says."""
    made, size = make_predictions(3, 8), run.data.sizes["validation"]
    saved = dataclasses.replace(
        made,
        probabilities=made.probabilities[-size:],
        labels=made.labels[-size:],
        ids=made.ids[-size:],
        **changes,
    )
    predictions.save(saved, run.predictions_file("validation"))
    return saved


def test_saved_predictions_on_validation_are_used(run: Run, capsys: pytest.CaptureFixture):
    save_validation(run)
    summary = evaluate.evaluate(run)
    assert all(summary.metrics[name] is not None for name in CHOSEN)
    size = run.data.sizes["validation"]
    assert summary.tables["selective_classification"][0]["validation_images"] == size
    assert "thresholds" not in capsys.readouterr().err
    report = run.report_file("test").read_text(encoding="utf-8")
    assert "infinite: 9 images needed" in report  # there are 7


@pytest.mark.parametrize("model", [None, "0" * 64])
def test_without_usable_predictions_and_a_model_a_note_says_why(
    run: Run, model: str | None, capsys: pytest.CaptureFixture
):
    if model:
        save_validation(run, model=model)
    summary = evaluate.evaluate(run)
    assert {name for name in CHOSEN if summary.metrics[name] is not None} == set()
    assert all(summary.wilson_intervals[name] is None for name in CHOSEN if "size" not in name)
    assert summary.metrics["aurc"] is not None
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert len(notes) == 1
    assert notes[0].startswith(
        f"note: no thresholds for {NAMES}, which are chosen on the validation split: "
    )
    assert "model.keras is damaged" in notes[0]


def test_a_run_without_validation_images_gets_a_note(run: Run, capsys: pytest.CaptureFixture):
    data = json.loads(run.data_file.read_text())
    sizes = data["sizes"] | {"validation": 0}
    change_json(
        run.data_file,
        sizes=sizes,
        class_counts=data["class_counts"] | {"validation": [0] * len(data["classes"])},
    )
    evaluate.evaluate(run)
    assert "validation split: it has no images" in capsys.readouterr().err


def test_without_a_metric_that_needs_it_validation_is_not_read(run: Run):
    files.write_text(run.predictions_file("validation"), "not an archive")
    _, _, stderr = command("eval", run.folder, "--set", "evaluate.metrics=[{name: accuracy}]")
    assert stderr == ""


def test_on_the_validation_split_itself_no_threshold_is_measured(
    run: Run, capsys: pytest.CaptureFixture
):
    save_validation(run)
    summary = evaluate.evaluate(run, split_name="validation")
    assert {name for name in CHOSEN if summary.metrics[name] is not None} == set()
    assert capsys.readouterr().err == ""


def test_figures_get_the_predictions_on_validation_of_the_same_model(run: Run):
    assert Subject(run, run.experiment).predictions.validation is None
    saved = save_validation(run)
    validation = Subject(run, run.experiment).predictions.validation
    assert validation.probabilities.tolist() == saved.probabilities.tolist()
    save_validation(run, model="0" * 64)
    assert Subject(run, run.experiment).predictions.validation is None


def test_figures_of_the_validation_split_have_no_other_predictions(run: Run):
    save_validation(run)
    run.predictions_file("test").unlink()
    subject = Subject(run, run.experiment)
    assert subject.evaluated_split == "validation"
    assert subject.predictions.validation is None
