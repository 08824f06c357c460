"""Predictions that metrics are computed from: random ones, and those at the edge of their terms."""

import numpy
import pytest

from imgcls import parts
from imgcls.evaluation.predictions import Predictions


def make(labels, probabilities) -> Predictions:
    """Return predictions with made-up ids and class names."""
    probabilities = numpy.asarray(probabilities, numpy.float32)
    labels = numpy.asarray(labels, numpy.int32)
    classes = [f"class {i}" for i in range(probabilities.shape[1])]
    return Predictions(
        probabilities, labels, [str(i) for i in range(len(labels))], classes, "0" * 64, 1.0
    )


def random_case(
    images: int, classes: int, present: list[int] | None = None, levels: int | None = None
) -> Predictions:
    """Return noisy predictions; `present` are the classes that occur, `levels` rounds the scores,
    so that many are equal.
    """
    generator = numpy.random.default_rng(images * 1000 + classes)
    labels = generator.choice(present or classes, size=images)
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
    "absent classes": random_case(200, 7, present=[1, 2, 5]),
    "ties": random_case(300, 4, levels=3),
    "one class present": random_case(30, 3, present=[1]),
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


def compute(name: str, case: Predictions, **settings):
    """Return what a metric makes of predictions."""
    module = parts.load("metrics", name)
    return module.compute(module.Settings(name=name, **settings), case)


def present(case: Predictions) -> list[int]:
    """Return the classes that have an image."""
    return sorted(set(case.labels.tolist()))


def one_hot(case: Predictions) -> numpy.ndarray:
    """Return the labels as rows of 0 and 1."""
    return numpy.eye(len(case.classes))[case.labels]
