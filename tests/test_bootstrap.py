"""Bootstrap intervals agree with known ones, repeat under a seed, and read predictions as metrics
do.
"""

import math
from dataclasses import replace

import numpy
import pytest

from imgcls import parts
from imgcls.evaluation.bootstrap import BootstrapSample, bootstrap_intervals
from imgcls.evaluation.predictions import Predictions

EVERY_METRIC = [
    parts.make_default_settings("metrics", name) for name in parts.list_names("metrics")
]
ACCURACY = [parts.make_default_settings("metrics", "accuracy")]


def make(right: int, images: int) -> Predictions:
    """Return predictions of two classes, of which the first `right` are right."""
    labels = numpy.arange(images, dtype=numpy.int32) % 2
    predicted = numpy.where(numpy.arange(images) < right, labels, 1 - labels)
    probabilities = numpy.where(numpy.eye(2)[predicted] == 1, 0.9, 0.1).astype(numpy.float32)
    ids = [str(i) for i in range(images)]
    return Predictions(probabilities, labels, ids, ["a", "b"], "0" * 64, 1.0)


@pytest.mark.parametrize(("right", "images"), [(900, 1000), (300, 400), (1000, 2000)])
@pytest.mark.parametrize(("confidence", "z"), [(0.95, 1.959964), (0.8, 1.281552)])
def test_the_interval_of_an_accuracy_agrees_with_wilson(right, images, confidence, z):
    low, high = bootstrap_intervals(make(right, images), ACCURACY, 4000, confidence, seed=7)[
        "accuracy"
    ]
    share = right / images
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = (
        z / (1 + z**2 / images) * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2))
    )
    assert [low, high] == pytest.approx([middle - half, middle + half], abs=0.15 * half)


@pytest.mark.full
def test_about_95_of_100_intervals_include_the_true_accuracy():
    generator = numpy.random.default_rng(3)
    held = 0
    for i in range(200):
        low, high = bootstrap_intervals(
            make(generator.binomial(150, 0.8), 150), ACCURACY, 200, 0.95, seed=i
        )["accuracy"]
        held += low <= 0.8 <= high
    assert 180 <= held <= 199


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    predictions = make(70, 100)
    first = bootstrap_intervals(predictions, EVERY_METRIC, 100, 0.95, seed=1)
    assert bootstrap_intervals(predictions, EVERY_METRIC, 100, 0.95, seed=1) == first
    assert bootstrap_intervals(predictions, EVERY_METRIC, 100, 0.95, seed=2) != first


def test_an_interval_does_not_depend_on_the_other_metrics():
    predictions = make(70, 100)
    assert (
        bootstrap_intervals(predictions, ACCURACY, 100, 0.95, seed=1)["accuracy"]
        == bootstrap_intervals(predictions, EVERY_METRIC, 100, 0.95, seed=1)["accuracy"]
    )


def test_no_metric_means_no_interval():
    assert bootstrap_intervals(make(7, 10), [], 100, 0.95, seed=1) == {}


def test_a_metric_that_is_undefined_on_every_sample_has_no_interval():
    top = parts.load("metrics", "top_k").Settings(name="top_k", k=5)
    assert bootstrap_intervals(make(7, 10), [top], 100, 0.95, seed=1) == {"top_5_accuracy": None}


def test_samples_on_which_a_metric_is_undefined_do_not_count():
    # One image of class b: a third of all samples lack it, and have no area under the curve.
    predictions = Predictions(
        numpy.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]], numpy.float32),
        numpy.array([0, 0, 1], numpy.int32),
        ["1", "2", "3"],
        ["a", "b"],
        "0" * 64,
        1.0,
    )
    assert bootstrap_intervals(
        predictions, [parts.make_default_settings("metrics", "roc")], 200, 0.95, seed=1
    )["macro_roc_auc"] == (1.0, 1.0)


@pytest.mark.parametrize("settings", EVERY_METRIC, ids=parts.list_names("metrics"))
def test_a_metric_of_a_bootstrap_sample_equals_that_of_the_gathered_predictions(settings):
    source = replace(make(60, 100), validation=make(40, 50))
    rows = numpy.random.default_rng(5).integers(100, size=100)
    gathered = replace(source, probabilities=source.probabilities[rows], labels=source.labels[rows])
    compute = parts.load_for("metrics", settings).compute
    assert compute(settings, BootstrapSample(source, rows)) == compute(settings, gathered)
