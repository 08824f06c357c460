"""Metrics of the predicted class agree with scikit-learn or a direct computation."""

import numpy
import pytest
from prediction_cases import CASES, compute, every_case, every_ranked_case, make, present
from sklearn import metrics as sklearn_metrics


@every_case
def test_accuracy_is_that_of_scikit_learn(case):
    assert compute("accuracy", case).scalars["accuracy"] == sklearn_metrics.accuracy_score(
        case.labels, case.probabilities.argmax(axis=1)
    )


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("name", ["2 classes", "10 classes", "100 classes", "absent classes"])
def test_top_k_is_that_of_scikit_learn_or_undefined_when_trivial(name, k):
    case = CASES[name]
    value = compute("top_k", case, k=k).scalars[f"top_{k}_accuracy"]
    if k >= len(case.classes):
        assert value is None
    elif len(case.classes) == 2:
        assert value == sklearn_metrics.top_k_accuracy_score(
            case.labels, case.probabilities[:, 1], k=k
        )
    else:
        assert value == sklearn_metrics.top_k_accuracy_score(
            case.labels, case.probabilities, k=k, labels=range(len(case.classes))
        )


@pytest.mark.parametrize("k", [1, 2, 3])
def test_equals_at_the_edge_of_the_top_k_go_to_the_lower_class(k):
    case = CASES["ties"]
    guesses = numpy.argsort(-case.probabilities, axis=1, kind="stable")[:, :k]
    expected = numpy.mean([label in row for label, row in zip(case.labels, guesses, strict=True)])
    assert compute("top_k", case, k=k).scalars[f"top_{k}_accuracy"] == pytest.approx(expected)


@every_case
def test_top_1_is_the_accuracy(case):
    assert (
        compute("top_k", case, k=1).scalars["top_1_accuracy"]
        == compute("accuracy", case).scalars["accuracy"]
    )


@every_case
def test_precision_recall_and_f1_of_the_present_classes_are_those_of_scikit_learn(case):
    result = compute("classification", case)
    expected = sklearn_metrics.precision_recall_fscore_support(
        case.labels, case.predicted, labels=present(case), zero_division=0
    )
    for name, values in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [result.per_class[name][i] for i in present(case)] == pytest.approx(values)
    absent = set(range(len(case.classes))) - set(present(case))
    assert all(
        result.per_class[name][i] is None for name in ("precision", "recall", "f1") for i in absent
    )
    assert all(result.per_class["support"][i] == 0 for i in absent)


@every_case
@pytest.mark.parametrize("average", ["macro", "weighted"])
def test_averages_over_the_present_classes_are_those_of_scikit_learn(case, average):
    scalars = compute("classification", case).scalars
    expected = sklearn_metrics.precision_recall_fscore_support(
        case.labels, case.predicted, labels=present(case), average=average, zero_division=0
    )
    assert [
        scalars[f"{average}_{name}"] for name in ("precision", "recall", "f1")
    ] == pytest.approx(expected[:3])


@every_case
def test_specificity_is_the_recall_of_all_other_classes(case):
    result = compute("classification", case)
    expected = [
        numpy.mean(case.predicted[case.labels != i] != i) if (case.labels != i).any() else None
        for i in range(len(case.classes))
    ]
    assert result.per_class["specificity"] == [
        value if value is None else pytest.approx(value) for value in expected
    ]
    averaged = [expected[i] for i in present(case) if expected[i] is not None]
    assert result.scalars["macro_specificity"] == (
        pytest.approx(numpy.mean(averaged)) if averaged else None
    )


@every_ranked_case
def test_agreement_measures_are_those_of_scikit_learn_where_they_are_not_0_by_0(case):
    scalars = compute("classification", case).scalars
    labels, predicted = case.labels, case.predicted
    assert scalars["balanced_accuracy"] == pytest.approx(
        numpy.mean([numpy.mean(predicted[labels == i] == i) for i in present(case)])
    )
    assert scalars["cohen_kappa"] == pytest.approx(
        sklearn_metrics.cohen_kappa_score(labels, predicted), abs=1e-12
    )
    if len(set(predicted.tolist())) == 1:
        assert scalars["matthews_correlation"] is None
    else:
        assert scalars["matthews_correlation"] == pytest.approx(
            sklearn_metrics.matthews_corrcoef(labels, predicted), abs=1e-12
        )


def test_agreement_on_a_split_and_guesses_of_one_class_is_undefined():
    scalars = compute("classification", make([1, 1], [[0.1, 0.9], [0.2, 0.8]])).scalars
    assert scalars["cohen_kappa"] is None
    assert scalars["matthews_correlation"] is None


@every_case
def test_the_confusion_matrix_is_that_of_scikit_learn(case):
    expected = sklearn_metrics.confusion_matrix(
        case.labels, case.predicted, labels=range(len(case.classes))
    )
    assert compute("confusion", case).matrices["confusion"] == expected.tolist()


def test_the_most_confused_pairs_are_the_largest_mistakes_of_the_matrix():
    case = CASES["100 classes"]
    matrix = numpy.array(compute("confusion", case).matrices["confusion"])
    numpy.fill_diagonal(matrix, 0)
    pairs = compute("confusion", case, pairs=7).tables["most_confused"]
    assert [pair["count"] for pair in pairs] == sorted(matrix.ravel().tolist(), reverse=True)[:7]
    first = pairs[0]
    row = case.classes.index(first["true"])
    assert matrix[row, case.classes.index(first["predicted"])] == first["count"]
    assert first["fraction"] == pytest.approx(first["count"] / numpy.sum(case.labels == row))


def test_a_model_without_mistakes_has_no_confused_pair():
    assert compute("confusion", make([0, 1, 2], numpy.eye(3))).tables["most_confused"] == []
