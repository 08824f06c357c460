"""Calibration errors agree with direct loops, and with what is known of simulated models."""

import bisect
import itertools
import math

import numpy
import pytest
from prediction_cases import CASES, compute, every_case, make

from imgcls.evaluation.predictions import Predictions

SIMULATIONS = 100


def equal_mass_bins(case: Predictions, bins: int) -> list[list[tuple[float, bool]]]:
    """Return confidence and correctness of the images in each bin, which ends at a quantile."""
    rows = zip(case.probabilities.astype(float), case.labels, strict=True)
    pairs = sorted((float(row.max()), int(row.argmax()) == label) for row, label in rows)
    ends = sorted({pairs[math.ceil(len(pairs) * i / bins) - 1][0] for i in range(1, bins)})
    groups = itertools.groupby(pairs, key=lambda pair: bisect.bisect_left(ends, pair[0]))
    return [list(group) for _, group in groups]


@every_case
@pytest.mark.parametrize("bins", [1, 10, 15])
def test_errors_of_bins_of_equal_width_are_those_of_a_direct_loop(case, bins):
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


@every_case
@pytest.mark.parametrize("bins", [1, 4, 15])
def test_errors_of_bins_of_equal_mass_are_those_of_a_direct_loop(case, bins):
    result = compute("calibration", case, bins=bins)
    images = len(case.labels)
    plain = squared = several = 0.0
    for pairs in equal_mass_bins(case, bins):
        count = len(pairs)
        accuracy = sum(right for _, right in pairs) / count
        gap = abs(accuracy - sum(confidence for confidence, _ in pairs) / count)
        plain += gap * count / images
        if count > 1:
            several += count
            squared += (gap**2 - accuracy * (1 - accuracy) / (count - 1)) * count / images
    assert result.scalars["equal_mass_calibration_error"] == pytest.approx(plain)
    debiased = result.scalars["debiased_l2_calibration_error"]
    assert debiased == (pytest.approx(max(squared, 0) ** 0.5) if several else None)


def test_bins_of_equal_mass_differ_by_one_image_at_most():
    case = CASES["10 classes"]
    sizes = list(map(len, equal_mass_bins(case, 15)))
    assert len(sizes) == 15
    assert max(sizes) - min(sizes) <= 1


@every_case
@pytest.mark.parametrize("bins", [1, 15])
def test_the_classwise_error_is_that_of_a_direct_loop(case, bins):
    errors = []
    for label in sorted(set(case.labels.tolist())):
        probability, truth = case.probabilities[:, label].astype(float), case.labels == label
        error = 0.0
        for i in range(bins):
            low, high = i / bins if i else -1, (i + 1) / bins
            inside = (probability > low) & (probability <= high)
            if inside.any():
                gap = abs(truth[inside].mean() - probability[inside].mean())
                error += gap * inside.mean()
        errors.append(error)
    found = compute("classwise_calibration", case, bins=bins).scalars
    assert found == {"classwise_calibration_error": pytest.approx(sum(errors) / len(errors))}


def test_calibration_of_a_known_case():
    # Two images at 0.75 of which one is right, two at 1 which are both right: the gap 0.25 holds
    # for half of the images, and its square 1/16 is less than the variance 1/4 of the accuracy.
    case = make([0, 1, 0, 0], [[0.75, 0.25], [0.75, 0.25], [1, 0], [1, 0]])
    assert compute("calibration", case).scalars == {
        "expected_calibration_error": pytest.approx(0.125),
        "equal_mass_calibration_error": pytest.approx(0.125),
        "debiased_l2_calibration_error": 0,
        "maximum_calibration_error": pytest.approx(0.25),
    }
    # Of class 0, predictions of 0.75 (half of them right) and 1; of class 1, of 0.25 and 0.
    assert compute("classwise_calibration", case).scalars == {
        "classwise_calibration_error": pytest.approx(0.125)
    }


def test_the_debiased_error_of_a_known_case():
    # Ten images at 0.9 of which five are right: (0.4 ** 2 - 0.25 / 9) ** 0.5.
    case = make([0] * 5 + [1] * 5, [[0.9, 0.1]] * 10)
    found = compute("calibration", case).scalars["debiased_l2_calibration_error"]
    assert found == pytest.approx((0.16 - 0.25 / 9) ** 0.5)


def simulate(images: int, overconfidence: float, seed: int) -> dict[str, float]:
    """Return the errors of a model of two classes whose accuracy is its confidence, less the
    overconfidence.
    """
    generator = numpy.random.default_rng(seed)
    confidence = generator.uniform(0.65, 0.95, images)
    right = generator.random(images) < confidence - overconfidence
    return compute(
        "calibration", make(1 - right, numpy.stack([confidence, 1 - confidence], axis=1))
    ).scalars


@pytest.mark.parametrize("overconfidence", [0.1, 0.15])
def test_the_debiased_error_is_the_true_one_on_average_and_the_plain_one_is_above(overconfidence):
    found = [simulate(600, overconfidence, seed) for seed in range(SIMULATIONS)]
    squares = [each["debiased_l2_calibration_error"] ** 2 for each in found]
    standard_error = numpy.std(squares) / SIMULATIONS**0.5
    assert numpy.mean(squares) == pytest.approx(overconfidence**2, abs=3 * standard_error)
    plain = [each["expected_calibration_error"] for each in found]
    assert numpy.mean(plain) > overconfidence


def test_a_calibrated_model_has_a_debiased_error_near_0_and_a_plain_one_above():
    found = [simulate(600, 0, seed) for seed in range(SIMULATIONS)]
    debiased = [each["debiased_l2_calibration_error"] for each in found]
    assert numpy.median(debiased) < 0.01
    for name in ("expected_calibration_error", "equal_mass_calibration_error"):
        assert numpy.mean([each[name] for each in found]) > 0.025
