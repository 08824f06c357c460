"""Metrics of the probabilities agree with scikit-learn or a direct computation."""

import math

import numpy
import pytest
from prediction_cases import CASES, compute, every_case, every_ranked_case, make, one_hot, present
from sklearn import metrics as sklearn_metrics

RANKINGS = {
    "roc": ("roc_auc", sklearn_metrics.roc_auc_score),
    "average_precision": ("average_precision", sklearn_metrics.average_precision_score),
}


@every_ranked_case
@pytest.mark.parametrize("part", RANKINGS)
def test_rankings_of_each_class_and_their_means_are_those_of_scikit_learn(case, part):
    name, oracle = RANKINGS[part]
    result = compute(part, case)
    truth = one_hot(case)
    expected = {i: oracle(truth[:, i], case.probabilities[:, i]) for i in present(case)}
    assert result.per_class[name] == [
        pytest.approx(expected[i]) if i in expected else None for i in range(len(case.classes))
    ]
    assert result.scalars[f"macro_{name}"] == pytest.approx(numpy.mean(list(expected.values())))
    assert result.scalars[f"micro_{name}"] == pytest.approx(
        oracle(truth.ravel(), case.probabilities.ravel())
    )


@pytest.mark.parametrize("name", ["10 classes", "100 classes", "ties"])
def test_macro_area_is_scikit_learns_one_vs_rest_average(name):
    case = CASES[name]
    scores = case.probabilities.astype(numpy.float64)
    expected = sklearn_metrics.roc_auc_score(
        case.labels, scores / scores.sum(axis=1, keepdims=True), multi_class="ovr", average="macro"
    )
    assert compute("roc", case).scalars["macro_roc_auc"] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("part", RANKINGS)
def test_rankings_of_a_split_with_one_class_are_undefined_but_for_the_pooled_one(part):
    name, oracle = RANKINGS[part]
    case = CASES["one class present"]
    result = compute(part, case)
    assert result.per_class[name] == [None, None, None]
    assert result.scalars[f"macro_{name}"] is None
    assert result.scalars[f"micro_{name}"] == pytest.approx(
        oracle(one_hot(case).ravel(), case.probabilities.ravel())
    )


@every_case
@pytest.mark.filterwarnings("ignore:The y_proba values do not sum to one")
def test_log_loss_is_that_of_scikit_learn(case):
    expected = sklearn_metrics.log_loss(
        case.labels, case.probabilities, labels=range(len(case.classes))
    )
    assert compute("log_loss", case).scalars["log_loss"] == pytest.approx(expected, rel=1e-5)


def test_a_probability_of_zero_for_the_truth_costs_16_nats_and_not_infinity():
    assert compute("log_loss", CASES["certain and wrong"]).scalars["log_loss"] == pytest.approx(
        23 * math.log(2)
    )


@every_case
def test_brier_is_scikit_learns_unhalved_sum(case):
    scores = case.probabilities.astype(numpy.float64)
    scores /= scores.sum(axis=1, keepdims=True)
    expected = numpy.mean(((scores - one_hot(case)) ** 2).sum(axis=1))
    found = compute("brier", case).scalars["brier"]
    assert found == pytest.approx(expected, rel=1e-5)
    if len(case.classes) > 2:
        by_scikit_learn = sklearn_metrics.brier_score_loss(
            case.labels, scores, labels=range(len(case.classes)), scale_by_half=False
        )
        assert found == pytest.approx(by_scikit_learn, rel=1e-5)


def test_brier_is_exact_for_a_nearly_perfect_model():
    doubt = float(numpy.float32(1e-6))
    case = make([0] * 10, [[1.0, doubt, 0.0]] * 10)
    assert compute("brier", case).scalars["brier"] == pytest.approx(doubt**2, rel=1e-5)
