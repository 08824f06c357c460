"""Paired bootstrap intervals include the true difference as often as they say, and use that the
images are the same.
"""

import numpy
import pytest
from prediction_cases import make

from imgcls import parts
from imgcls.comparison.paired_bootstrap import bootstrap_differences
from imgcls.evaluation.predictions import Predictions

ACCURACY = [parts.make_default_settings("metrics", "accuracy")]
EVERY_METRIC = [
    parts.make_default_settings("metrics", name) for name in parts.list_names("metrics")
]


def predict(correct) -> Predictions:
    """Return predictions of two classes that are right for some images."""
    labels = numpy.arange(len(correct)) % 2
    predicted = numpy.where(correct, labels, 1 - labels)
    return make(labels, numpy.where(numpy.eye(2)[predicted] == 1, 0.9, 0.1))


def predict_pair(
    images: int, accuracies: tuple[float, float], seed: int
) -> tuple[Predictions, Predictions]:
    """Return predictions of two models that mostly fail on the same images."""
    hard = numpy.random.default_rng(seed).random(images)
    moved = (hard + numpy.random.default_rng([seed, 1]).normal(0, 0.05, images)) % 1
    return predict(hard < accuracies[0]), predict(moved < accuracies[1])


@pytest.mark.full
def test_about_95_of_100_intervals_include_the_true_difference():
    held = 0
    for seed in range(200):
        old, new = predict_pair(150, (0.75, 0.8), seed)
        low, high = bootstrap_differences([[old], [new]], ACCURACY, 200, 0.95, seed)[0]["accuracy"]
        held += low <= 0.05 <= high
    assert 180 <= held <= 199


@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_the_interval_is_that_of_the_images_that_one_has_right(confidence):
    old, new = predict_pair(2000, (0.8, 0.83), 3)
    change = (new.predicted == new.labels).astype(float) - (old.predicted == old.labels)
    z = {0.8: 1.281552, 0.95: 1.959964}[confidence]
    half = z * change.std() / len(change) ** 0.5
    found = bootstrap_differences([[old], [new]], ACCURACY, 4000, confidence, 7)[0]["accuracy"]
    assert found == pytest.approx((change.mean() - half, change.mean() + half), abs=0.15 * half)


def test_the_difference_of_equal_predictions_is_0_on_every_sample():
    old, _ = predict_pair(100, (0.8, 0.8), 0)
    found = bootstrap_differences([[old], [old]], EVERY_METRIC, 100, 0.95, 0)[0]
    assert {each for each in found.values() if each} == {(0.0, 0.0)}
    assert found["top_5_accuracy"] is None  # undefined with two classes


def test_each_candidate_is_compared_with_the_first_as_if_it_were_alone():
    old, new = predict_pair(100, (0.7, 0.8), 0)
    both = bootstrap_differences([[old], [new], [old]], EVERY_METRIC, 100, 0.95, 0)
    assert both[0] == bootstrap_differences([[old], [new]], EVERY_METRIC, 100, 0.95, 0)[0]
    assert both[1]["accuracy"] == (0.0, 0.0)


def test_the_mean_over_replicates_is_compared():
    old, new = predict_pair(100, (0.7, 0.8), 0)
    found = bootstrap_differences([[old], [old, new]], ACCURACY, 500, 0.95, 0)[0]["accuracy"]
    whole = bootstrap_differences([[old], [new]], ACCURACY, 500, 0.95, 0)[0]["accuracy"]
    assert found == pytest.approx(tuple(end / 2 for end in whole))


def test_another_seed_gives_another_interval():
    pair = [[each] for each in predict_pair(100, (0.7, 0.8), 0)]
    found = [bootstrap_differences(pair, EVERY_METRIC, 100, 0.95, seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
