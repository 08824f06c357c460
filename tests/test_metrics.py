"""Every metric agrees with scikit-learn or a slow direct computation, and keeps the contract of
imgcls/metrics.
"""

import json
import math

import numpy
import pytest
from sklearn import metrics as sklearn_metrics

from imgcls import parts
from imgcls.errors import UserError
from imgcls.evaluation.predictions import Predictions
from imgcls.metrics import directions


def make(labels, probabilities) -> Predictions:
    probabilities = numpy.asarray(probabilities, numpy.float32)
    labels = numpy.asarray(labels, numpy.int32)
    classes = [f"class {i}" for i in range(probabilities.shape[1])]
    return Predictions(
        probabilities, labels, [str(i) for i in range(len(labels))], classes, "0" * 64
    )


def random_case(
    images: int, classes: int, labelled: list[int] | None = None, levels: int | None = None
) -> Predictions:
    """Return noisy predictions; `labelled` are the classes that occur, `levels` rounds the scores,
    so that many are equal.
    """
    generator = numpy.random.default_rng(images * 1000 + classes)
    labels = generator.choice(labelled or classes, size=images)
    scores = generator.normal(size=(images, classes))
    scores[numpy.arange(images), labels] += 1
    scores = numpy.exp(scores)
    if levels:
        scores = numpy.ceil(scores / scores.max() * levels)
    return make(labels, scores / scores.sum(axis=1, keepdims=True))


CASES = {
    "2 classes": random_case(50, 2),
    "10 classes": random_case(500, 10),
    "100 classes": random_case(3000, 100),
    "absent classes": random_case(200, 7, labelled=[1, 2, 5]),
    "ties": random_case(300, 4, levels=3),
    "one class present": random_case(30, 3, labelled=[1]),
    "one image": random_case(1, 3),
    "all equal": make([0, 1, 2, 2], numpy.full((4, 3), 1 / 3)),
    "certain and wrong": make([0, 1], [[0, 1], [1, 0]]),
    "never predicted": make(
        [0, 1, 2, 2], [[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.6, 0.1, 0.3], [0.1, 0.2, 0.7]]
    ),
}
WITH_TWO_CLASSES = [name for name, case in CASES.items() if len(set(case.labels.tolist())) > 1]

every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
every_ranked_case = pytest.mark.parametrize(
    "case", [CASES[name] for name in WITH_TWO_CLASSES], ids=WITH_TWO_CLASSES
)
every_metric = pytest.mark.parametrize("name", parts.list_names("metrics"))


def compute(name: str, case: Predictions, **settings):
    module = parts.load("metrics", name)
    return module.compute(module.Settings(name=name, **settings), case)


def present(case: Predictions) -> list[int]:
    return sorted(set(case.labels.tolist()))


def one_hot(case: Predictions) -> numpy.ndarray:
    return numpy.eye(len(case.classes))[case.labels]


# The contract.


@every_metric
@every_case
def test_a_metric_gives_the_numbers_it_announces_as_json_without_nan(name, case):
    result = compute(name, case)
    json.dumps(vars(result), allow_nan=False)
    assert list(result.scalars) == list(parts.default_settings("metrics", name).scalars)
    assert all(value is None or type(value) is float for value in result.scalars.values())
    assert all(len(values) == len(case.classes) for values in result.per_class.values())


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
    everything = [parts.default_settings("metrics", name) for name in parts.list_names("metrics")]
    assert {"accuracy", "macro_f1", "top_5_accuracy", "log_loss", "macro_roc_auc"} <= set(
        directions(everything)
    )


def test_the_same_number_twice_is_refused():
    with pytest.raises(UserError, match=r"accuracy.*remove one"):
        directions([parts.default_settings("metrics", "accuracy")] * 2)


def flat(value) -> dict[str, object]:
    """Return the leaves of nested mappings and lists by their path; numbers undefined become
    NaN.
    """
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {f"{key}/{rest}": leaf for key, inner in pairs for rest, leaf in flat(inner).items()}
    return {"": math.nan if value is None else value}


# Agreement with scikit-learn.


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
    assert first["share"] == pytest.approx(first["count"] / numpy.sum(case.labels == row))


def test_a_model_without_mistakes_has_no_confused_pair():
    assert compute("confusion", make([0, 1, 2], numpy.eye(3))).tables["most_confused"] == []


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


@every_case
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_calibration_errors_are_those_of_a_direct_loop(case, bins):
    result = compute("calibration", case, bins=bins)
    confidence = case.probabilities.max(axis=1).astype(numpy.float64)
    right = case.predicted == case.labels
    gaps = []
    for i, row in enumerate(result.tables["calibration"]):
        inside = (confidence > i / bins) & (confidence <= (i + 1) / bins)
        assert row["count"] == inside.sum()
        if inside.any():
            gaps.append((abs(right[inside].mean() - confidence[inside].mean()), inside.sum()))
            assert row["accuracy"] == pytest.approx(right[inside].mean())
    assert result.scalars["expected_calibration_error"] == pytest.approx(
        sum(gap * count for gap, count in gaps) / len(right)
    )
    assert result.scalars["maximum_calibration_error"] == pytest.approx(max(gap for gap, _ in gaps))


def test_calibration_of_a_known_case():
    # Two images at 0.75 of which one is right, two at 1 which are both right: the gap 0.25 holds
    # for half of the images.
    result = compute(
        "calibration", make([0, 1, 0, 0], [[0.75, 0.25], [0.75, 0.25], [1, 0], [1, 0]])
    )
    assert result.scalars == {
        "expected_calibration_error": pytest.approx(0.125),
        "maximum_calibration_error": pytest.approx(0.25),
    }
