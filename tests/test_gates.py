"""`--fail-under` stops on what is below, and refuses what it cannot mean."""

import math

import pytest

from imgcls.errors import GateError, UserError
from imgcls.evaluation import gates
from imgcls.evaluation.record import Evaluation

DIRECTIONS = {"accuracy": "higher", "macro_f1": "higher", "log_loss": "lower"}


def evaluation(**metrics: float | None) -> Evaluation:
    """Return an evaluation with these metrics."""
    return Evaluation(
        split="test",
        examples=1,
        classes=["cat"],
        classes_absent=[],
        model="",
        metrics=metrics,
        intervals={},
        wilson_intervals={},
        confidence=0.95,
        bootstrap_samples=100,
        per_class={},
        tables={},
        matrices={},
        tta={},
    )


def check(minima: dict[str, float], found: Evaluation) -> None:
    """Check the gates of an evaluation."""
    gates.check_gates(minima, found.metrics, found)


def test_an_unknown_metric_is_an_error_that_suggests_a_name():
    with pytest.raises(
        UserError, match=r"'acuracy'; allowed: accuracy, macro_f1 \(did you mean 'accuracy'\?\)"
    ):
        gates.require_valid({"acuracy": 0.9}, DIRECTIONS)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_is_refused(value):
    with pytest.raises(UserError, match="is not a finite number"):
        gates.require_valid({"accuracy": value}, DIRECTIONS)


def test_a_metric_that_is_better_when_lower_is_an_error():
    with pytest.raises(
        UserError, match=r"log_loss is better when lower.*allowed: accuracy, macro_f1"
    ):
        gates.require_valid({"log_loss": 0.3}, DIRECTIONS)


def test_a_value_at_its_minimum_passes_and_the_next_lower_one_does_not():
    check({"accuracy": 0.9}, evaluation(accuracy=0.9))
    with pytest.raises(GateError, match=r"1 of 1 gates failed: accuracy is 0\.8999"):
        check({"accuracy": 0.9}, evaluation(accuracy=math.nextafter(0.9, 0)))


def test_all_failed_gates_are_named_with_value_and_minimum():
    found = evaluation(accuracy=0.8999999, macro_f1=0.5, recall=0.2)
    with pytest.raises(GateError) as failure:
        check({"accuracy": 0.9, "macro_f1": 0.8, "recall": 0.1}, found)
    assert (
        str(failure.value)
        == "2 of 3 gates failed: accuracy is 0.8999999, but should be at least 0.9; macro_f1 is"
        " 0.5, but should be at least 0.8"
    )
    assert failure.value.exit_code == 6
    assert failure.value.result is found


def test_an_undefined_metric_does_not_pass():
    with pytest.raises(GateError, match="accuracy is undefined"):
        check({"accuracy": 0}, evaluation(accuracy=None))


@pytest.mark.parametrize("value", ["0.5", None, True])
def test_a_minimum_that_is_not_a_number_is_refused(value):
    with pytest.raises(UserError, match="it is not a number"):
        gates.require_valid({"accuracy": value}, DIRECTIONS)
