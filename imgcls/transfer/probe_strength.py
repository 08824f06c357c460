"""Chooses the strength of a linear probe's penalty, by the log loss on held-out images. Heavy
zone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy

from imgcls.io import terminal
from imgcls.transfer import logistic_regression
from imgcls.transfer.logistic_regression import Regression
from imgcls.transfer.record import ChosenOn, LinearProbe

STRENGTHS = tuple(10.0 ** (-exponent / 2) for exponent in range(-2, 13))
"""The strengths of the L2 penalty that are tried, from strong to weak: 10 to 1e-6, in half
decades, for the mean loss on standardized features."""
PATIENCE = 3
"""The search ends after this many strengths in a row without a lower log loss."""
TOLERANCE = 1e-5
"""The largest element of the gradient in the solutions that are compared."""
FOLDS = 5
"""Folds of the cross-validation; fewer if there are fewer groups or images."""


@dataclass(frozen=True)
class Samples:
    """Features of images, with their labels.

    Attributes:
        features: float32 (images, features).
        labels: class numbers, int32 (images,).
        weights: in the loss, float64 (images,), with mean 1; None for 1.
    """

    features: numpy.ndarray
    labels: numpy.ndarray
    weights: numpy.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def select(self, rows: numpy.ndarray) -> "Samples":
        """Return some of the images."""
        weights = None if self.weights is None else self.weights[rows]
        return Samples(self.features[rows], self.labels[rows], weights)


def choose_strength(
    train: Samples, validation: Samples, classes: int, groups: numpy.ndarray | None
) -> tuple[Regression, LinearProbe]:
    """Choose the strength, and return the solution for it and its record.

    It has the lowest log loss on images held out: in cross-validation by group, if the training
    images have two or more groups; else on the validation split, if it has images; else in
    stratified cross-validation.

    Args:
        groups: of the training images, (images,); None without any.
    """
    chosen_on: ChosenOn
    if groups is not None and len(numpy.unique(groups)) > 1:
        chosen_on, folds = "folds of groups", list(_divide_groups(groups))
    elif len(validation):
        chosen_on, folds = "validation", []
    else:
        chosen_on, folds = "stratified folds", list(_divide_classes(train.labels))
    losses = _compute_losses(train, validation, folds, classes)
    best = int(numpy.argmin(losses))
    start = logistic_regression.make_start(train.features, classes)
    found = logistic_regression.fit(
        train.features, train.labels, STRENGTHS[best], start, train.weights
    )
    of_train, of_validation = (_measure(found, each) for each in (train, validation))
    return found, LinearProbe(
        images=len(train),
        features=train.features.shape[1],
        chosen_on=chosen_on,
        strengths=list(STRENGTHS[: len(losses)]),
        log_losses=losses,
        strength=STRENGTHS[best],
        train_accuracy=of_train[0],
        train_log_loss=of_train[1],
        val_accuracy=of_validation[0],
        val_log_loss=of_validation[1],
        seconds=0.0,
    )


def _compute_losses(
    train: Samples, validation: Samples, folds: list[numpy.ndarray], classes: int
) -> list[float]:
    """Return the mean log loss with each strength, until `PATIENCE` in a row are not lower than
    the lowest.

    Args:
        folds: which training images each fold holds out; without any, validation is measured.
    """
    solutions = [
        logistic_regression.make_start(fitted.features, classes)
        for fitted, _ in _iterate_pairs(train, validation, folds)
    ]
    count = len(train) if folds else len(validation)
    losses: list[float] = []
    for strength in terminal.track(STRENGTHS, len(STRENGTHS), "linear probe"):
        total = 0.0
        for i, (fitted, measured) in enumerate(_iterate_pairs(train, validation, folds)):
            solutions[i] = logistic_regression.fit(
                fitted.features, fitted.labels, strength, solutions[i], fitted.weights, TOLERANCE
            )
            logits = solutions[i].compute_logits(measured.features)
            loss = logistic_regression.compute_log_loss(logits, measured.labels)
            total += loss * len(measured) / count
        losses.append(total)
        if len(losses) - 1 - int(numpy.argmin(losses)) >= PATIENCE:
            break
    return losses


def _iterate_pairs(
    train: Samples, validation: Samples, folds: list[numpy.ndarray]
) -> Iterator[tuple[Samples, Samples]]:
    """Yield the samples to fit and those to measure, of one fold at a time: they are copies."""
    if not folds:
        yield train, validation
    for held_out in folds:
        yield train.select(~held_out), train.select(held_out)


def _divide_groups(groups: numpy.ndarray) -> Iterator[numpy.ndarray]:
    """Yield which images each fold holds out, bool (images,); each group is in one fold."""
    from sklearn.model_selection import GroupKFold

    numbers = numpy.unique(groups, return_inverse=True)[1]
    folds = GroupKFold(min(FOLDS, int(numbers.max()) + 1))
    for _, rows in folds.split(numbers, groups=numbers):
        yield numpy.isin(numpy.arange(len(groups)), rows)


def _divide_classes(labels: numpy.ndarray) -> Iterator[numpy.ndarray]:
    """Yield which images each fold holds out, bool (images,), with even numbers of each class."""
    folds = numpy.empty(len(labels), numpy.int64)
    count = min(FOLDS, len(labels))
    folds[numpy.argsort(labels, kind="stable")] = numpy.arange(len(labels)) % count
    return (folds == number for number in range(count))


def _measure(found: Regression, samples: Samples) -> tuple[float | None, float | None]:
    """Return accuracy and log loss; None without images."""
    if not len(samples):
        return None, None
    logits = found.compute_logits(samples.features)
    accuracy = float((logits.argmax(axis=1) == samples.labels).mean())
    return accuracy, logistic_regression.compute_log_loss(logits, samples.labels)
