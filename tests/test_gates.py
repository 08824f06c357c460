"""`--fail-under` stops on what is below, and refuses what it cannot mean."""

import math

import pytest

from imgcls.errors import GateError, UserError
from imgcls.evaluation import gates

DIRECTIONS = {"accuracy": "higher", "macro_f1": "higher", "log_loss": "lower"}


def parse(*texts: str) -> list[gates.Gate]:
    return gates.parse_gates(list(texts), DIRECTIONS)


def test_a_gate_is_a_metric_and_a_floor():
    assert parse("accuracy=0.9", " macro_f1 = 1e-1 ") == [
        gates.Gate("accuracy", 0.9),
        gates.Gate("macro_f1", 0.1),
    ]


@pytest.mark.parametrize("text", ["accuracy", "", "=0.9", "accuracy:0.9"])
def test_another_form_is_refused(text):
    with pytest.raises(UserError, match="needs the form METRIC=VALUE"):
        parse(text)


def test_an_unknown_metric_is_refused_with_the_nearest_name():
    with pytest.raises(
        UserError, match=r"'acuracy'; allowed: accuracy, macro_f1 \(did you mean 'accuracy'\?\)"
    ):
        parse("acuracy=0.9")


@pytest.mark.parametrize("value", ["", "high", "90%", "0,9", "nan", "inf", "-inf", "0.9=0.8"])
def test_a_value_that_is_no_finite_number_is_refused(value):
    with pytest.raises(UserError, match="is not a finite number"):
        parse(f"accuracy={value}")


def test_a_metric_that_is_better_when_lower_is_refused():
    with pytest.raises(
        UserError, match=r"log_loss is better when lower.*allowed: accuracy, macro_f1"
    ):
        parse("log_loss=0.3")


def test_a_value_at_the_floor_passes_and_the_next_lower_one_does_not():
    gates.check_gates(parse("accuracy=0.9"), {"accuracy": 0.9})
    with pytest.raises(GateError, match=r"1 of 1 gates failed: accuracy is 0\.8999"):
        gates.check_gates(parse("accuracy=0.9"), {"accuracy": math.nextafter(0.9, 0)})


def test_all_failed_gates_are_named_with_value_and_floor():
    floors = parse("accuracy=0.9", "macro_f1=0.8", "accuracy=0.1")
    with pytest.raises(GateError) as failure:
        gates.check_gates(floors, {"accuracy": 0.8999999, "macro_f1": 0.5})
    assert (
        str(failure.value)
        == "2 of 3 gates failed: accuracy is 0.8999999, but should be at least 0.9; macro_f1 is"
        " 0.5, but should be at least 0.8"
    )
    assert failure.value.exit_code == 6


def test_an_undefined_metric_does_not_pass():
    with pytest.raises(GateError, match="accuracy is undefined"):
        gates.check_gates(parse("accuracy=0"), {"accuracy": None})
