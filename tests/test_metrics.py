"""Every metric keeps the contract of imgcls/metrics."""

import json
import math

import numpy
import pytest
from prediction_cases import CASES, compute, every_case, make, present, random_case

from imgcls import parts
from imgcls.errors import UserError
from imgcls.metrics import list_directions

every_metric = pytest.mark.parametrize("name", parts.list_names("metrics"))


@every_metric
@every_case
def test_a_metric_gives_the_numbers_it_announces_as_json_without_nan(name, case):
    result = compute(name, case)
    json.dumps(vars(result), allow_nan=False)
    assert list(result.scalars) == list(parts.make_default_settings("metrics", name).scalars)
    assert all(value is None or type(value) is float for value in result.scalars.values())
    assert all(len(values) == len(case.classes) for values in result.per_class.values())
    for scalar, (numerator, denominator) in result.fractions.items():
        assert result.scalars[scalar] == (numerator / denominator if denominator else None)


@every_metric
@every_case
def test_the_order_of_the_images_changes_nothing(name, case):
    order = numpy.random.default_rng(1).permutation(len(case.labels))
    shuffled = make(case.labels[order], case.probabilities[order])
    assert flat(vars(compute(name, shuffled))) == pytest.approx(
        flat(vars(compute(name, case))), nan_ok=True
    )


@pytest.mark.parametrize("name", ["average_precision", "classification", "roc"])
def test_an_absent_class_leaves_the_other_classes_their_places(name):
    case = CASES["absent classes"]
    per_class = compute(name, case).per_class
    assert per_class
    for values in per_class.values():
        assert all(values[i] is not None for i in present(case))


@every_metric
def test_numbers_kept_for_the_images_do_not_pile_up(name):
    case = random_case(20, 6)
    compute(name, case)
    kept = set(case._cached)
    compute(name, case)
    assert set(case._cached) == kept


def test_numbers_of_all_metrics_have_different_names():
    everything = [
        parts.make_default_settings("metrics", name) for name in parts.list_names("metrics")
    ]
    assert {"accuracy", "macro_f1", "top_5_accuracy", "log_loss", "macro_roc_auc"} <= set(
        list_directions(everything)
    )


def test_the_same_number_twice_is_refused():
    with pytest.raises(UserError, match=r"accuracy.*remove one"):
        list_directions([parts.make_default_settings("metrics", "accuracy")] * 2)


def flat(value) -> dict[str, object]:
    """Return the leaves of nested mappings, lists and tuples by their path; numbers undefined
    become NaN.
    """
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {f"{key}/{rest}": leaf for key, inner in pairs for rest, leaf in flat(inner).items()}
    return {"": math.nan if value is None else value}
