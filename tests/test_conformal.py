"""Conformal prediction sets agree with brute force, and cover as often as the theory says."""

import dataclasses
import math

import numpy
import pytest
from prediction_cases import CASES, compute, every_case, make, random_case

from imgcls.evaluation import chunks
from imgcls.evaluation.conformal import (
    AdaptiveScore,
    LeastAmbiguousScore,
    PredictionSets,
    calibrate,
    count_images_needed,
)
from imgcls.evaluation.ranks import rank_labels

SCORES = {
    "lac": LeastAmbiguousScore(),
    "aps": AdaptiveScore(),
    "raps": AdaptiveScore(penalty=0.1, free_ranks=2),
}
every_score = pytest.mark.parametrize("name", SCORES)


def score_classes(name: str, row: numpy.ndarray) -> list[float]:
    """Return the score of each class of an image by its definition."""
    values = row.astype(float).tolist()
    scores, above = [0.0] * len(values), 0.0
    for rank, label in enumerate(sorted(range(len(values)), key=lambda i: (-values[i], i)), 1):
        penalty = 0.1 * max(rank - 2, 0) if name == "raps" else 0
        scores[label] = 1 - values[label] if name == "lac" else above + penalty
        above += values[label]
    return scores


@every_score
@every_case
def test_the_score_of_the_true_class_is_that_of_its_definition(name, case):
    found = SCORES[name].score_labels(case.probabilities, case.labels)
    rows = zip(case.probabilities, case.labels, strict=True)
    assert found == pytest.approx([score_classes(name, row)[label] for row, label in rows])


@every_score
@every_case
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.81, math.inf])
def test_a_set_is_the_classes_whose_score_is_at_most_the_threshold(name, case, threshold):
    sizes = PredictionSets(SCORES[name], 0.9, 100, threshold).count_classes(case.probabilities)
    for row, size in zip(case.probabilities, sizes, strict=True):
        scores = score_classes(name, row)
        inside = [label for label, each in enumerate(scores) if each <= threshold]
        order = numpy.argsort(-row, kind="stable")
        assert sorted(order[:size]) == (inside or [order[0]])


@every_score
def test_the_sets_of_calibration_images_include_as_many_true_classes_as_the_quantile_says(name):
    case = CASES["100 classes"]
    score = SCORES[name]
    sets = calibrate(score, 0.9, score.score_labels(case.probabilities, case.labels))
    ranks = rank_labels(case.probabilities, case.labels)
    covered = ranks < sets.count_classes(case.probabilities)
    assert covered.sum() == math.ceil(3001 * 0.9)  # no two scores are equal


def test_the_threshold_is_the_quantile_of_a_known_case():
    scores = numpy.array([0.7, 0.1, 0.5, 0.3, 0.9, 0.2, 0.6, 0.4, 0.8])
    for coverage, expected in ((0.9, 0.9), (0.8, 0.8), (0.79, 0.8), (0.1, 0.1), (0.01, 0.1)):
        assert calibrate(LeastAmbiguousScore(), coverage, scores).threshold == expected


def test_the_rank_of_the_threshold_is_exact():
    scores = numpy.arange(1.0, 100)
    assert 100 * 0.55 > 55  # in floating point
    assert calibrate(LeastAmbiguousScore(), 0.55, scores).threshold == 55


@pytest.mark.parametrize(("coverage", "needed"), [(0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_with_too_few_calibration_images_a_set_is_all_classes(coverage, needed):
    assert count_images_needed(coverage) == needed
    few = calibrate(AdaptiveScore(), coverage, numpy.zeros(needed - 1))
    assert few.threshold == math.inf
    assert few.expected_coverage == 1
    assert few.count_classes(CASES["10 classes"].probabilities).tolist() == [10] * 500
    assert calibrate(AdaptiveScore(), coverage, numpy.zeros(needed)).threshold == 0


@every_score
def test_the_set_of_an_image_does_not_depend_on_other_images(name, monkeypatch):
    case = CASES["10 classes"]
    sets = PredictionSets(SCORES[name], 0.9, 100, 0.7)
    together = sets.count_classes(case.probabilities)
    monkeypatch.setattr(chunks, "ELEMENTS", 70)
    assert sets.count_classes(case.probabilities).tolist() == together.tolist()
    alone = [sets.count_classes(row[None])[0] for row in case.probabilities]
    assert alone == together.tolist()


@every_score
def test_the_coverage_over_calibration_splits_follows_the_beta_distribution(name):
    case = random_case(20_000, 20)
    score = SCORES[name]
    scores = score.score_labels(case.probabilities, case.labels)
    ranks = rank_labels(case.probabilities, case.labels)
    assert (ranks == 0).mean() < 0.5  # so that the sets that are never empty hide nothing
    generator, coverages = numpy.random.default_rng(0), []
    for _ in range(300):
        chosen = generator.permutation(20_000)
        sets = calibrate(score, 0.9, scores[chosen[:100]])
        coverages.append((scores[chosen[100:]] <= sets.threshold).mean())
    assert sets.expected_coverage == pytest.approx(91 / 101)
    standard_error = sets.coverage_std / 300**0.5
    assert numpy.mean(coverages) == pytest.approx(91 / 101, abs=3 * standard_error)
    # The variance of Beta(91, 10), and a little more for the 19,900 images of each measurement.
    assert sets.coverage_std == pytest.approx(math.sqrt(91 * 10 / (101**2 * 102)))
    assert numpy.std(coverages) == pytest.approx(sets.coverage_std, rel=0.12)


def test_if_the_accuracy_is_above_the_wanted_coverage_adaptive_sets_are_single_classes():
    case = make([0] * 19 + [1], [[0.7, 0.2, 0.1]] * 20)
    result = compute("conformal", dataclasses.replace(case, validation=case), coverage=0.9)
    assert result.scalars["aps_coverage"] == 0.95
    assert result.scalars["aps_set_size"] == 1


def test_the_metric_measures_the_sets_of_the_evaluated_split():
    validation = random_case(400, 10)
    case = dataclasses.replace(random_case(500, 10), validation=validation)
    result = compute("conformal", case, coverage=0.8, raps_penalty=0.1, raps_free_ranks=2)
    for row in result.tables["conformal"]:
        name = row["sets"]
        sets = calibrate(
            SCORES[name],
            0.8,
            SCORES[name].score_labels(validation.probabilities, validation.labels),
        )
        sizes = sets.count_classes(case.probabilities)
        covered = (rank_labels(case.probabilities, case.labels) < sizes).sum()
        assert result.scalars[f"{name}_set_size"] == sizes.mean()
        assert result.fractions[f"{name}_coverage"] == (covered, 500)
        assert row == {
            "sets": name,
            "wanted_coverage": 0.8,
            "validation_images": 400,
            "threshold": sets.threshold,
            "expected_coverage": pytest.approx(321 / 401),
            "expected_std": pytest.approx(0.02, abs=0.0001),
        }
        assert 0.7 < result.scalars[f"{name}_coverage"] < 0.9


def test_the_table_says_how_many_images_were_needed():
    case = dataclasses.replace(CASES["10 classes"], validation=random_case(10, 10))
    result = compute("conformal", case, coverage=0.95)
    assert {row["threshold"] for row in result.tables["conformal"]} == {
        "infinite: 19 images needed"
    }
    assert result.scalars["lac_coverage"] == 1
    assert result.scalars["lac_set_size"] == 10


def test_without_validation_there_are_no_sets():
    result = compute("conformal", CASES["2 classes"])
    assert set(result.scalars.values()) == {None}
    assert result.tables == {"conformal": []}
