"""Numbers before the temperature are those of the model's logits, which `eval` reports beside."""

from dataclasses import replace
from pathlib import Path

import numpy
import pytest
from prediction_cases import CASES, compute, every_case, make
from scipy.special import softmax
from synthetic_run import TEMPERATURE, make_predictions, make_run

from imgcls.evaluation import chunks, predictions
from imgcls.evaluation.predictions import undo_temperature
from imgcls.verbs import evaluate

COMPARED = [
    ("brier", "brier"),
    ("calibration", "expected_calibration_error"),
    ("calibration", "equal_mass_calibration_error"),
    ("calibration", "debiased_l2_calibration_error"),
    ("calibration", "maximum_calibration_error"),
    ("classwise_calibration", "classwise_calibration_error"),
    ("log_loss", "log_loss"),
]
"""The part and the name of each number of the table, in its order."""


@pytest.mark.parametrize("temperature", [0.3, 0.9, 1.7, 10.0])
def test_the_probabilities_are_the_softmax_of_the_logits(temperature, monkeypatch):
    monkeypatch.setattr(chunks, "ELEMENTS", 100)
    logits = numpy.random.default_rng(0).normal(size=(50, 7), scale=3)
    case = replace(
        make(numpy.zeros(50), softmax(logits / temperature, axis=1)), temperature=temperature
    )
    before = undo_temperature(case)
    assert before.probabilities == pytest.approx(softmax(logits, axis=1), rel=1e-4, abs=1e-12)
    assert before.probabilities.dtype == numpy.float32
    assert before.temperature == 1


@every_case
@pytest.mark.parametrize("temperature", [0.05, 400.0])
def test_extreme_temperatures_give_probabilities_without_a_warning(case, temperature):
    before = undo_temperature(replace(case, temperature=temperature)).probabilities
    assert before.sum(axis=1) == pytest.approx(numpy.ones(len(case.labels)))
    assert (before[case.probabilities == 0] == 0).all()


@pytest.mark.parametrize("temperature", [None, 1.0])
def test_there_is_nothing_to_undo_without_one_temperature(temperature):
    assert undo_temperature(replace(CASES["10 classes"], temperature=temperature)) is None


def test_the_table_compares_the_numbers_before_and_after(tmp_path: Path):
    run = make_run(tmp_path / "run", evaluate={"bootstrap_samples": 100})
    summary = evaluate.evaluate(run)
    first, *rows = summary.tables["temperature_scaling"]
    assert first == {"metric": "temperature", "before": 1, "after": TEMPERATURE}
    assert [row["metric"] for row in rows] == [name for _, name in COMPARED]
    before = undo_temperature(make_predictions(3, 8))
    for row, (part, name) in zip(rows, COMPARED, strict=True):
        assert row["before"] == compute(part, before).scalars[name]
        assert row["after"] == summary.metrics[name] != row["before"]


def test_a_model_without_temperature_has_no_table_to_read(tmp_path: Path):
    run = make_run(tmp_path / "run", evaluate={"bootstrap_samples": 100})
    without = replace(make_predictions(3, 8), temperature=1.0)
    predictions.save(without, run.predictions_file("test"))
    assert evaluate.evaluate(run).tables["temperature_scaling"] == []
    assert "temperature" not in run.report_file("test").read_text(encoding="utf-8")


def test_metrics_of_labels_alone_are_not_compared(tmp_path: Path):
    metrics = [{"name": "accuracy"}, {"name": "confusion"}]
    run = make_run(tmp_path / "run", evaluate={"metrics": metrics, "bootstrap_samples": 100})
    assert evaluate.evaluate(run).tables["temperature_scaling"] == []
