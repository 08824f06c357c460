"""Runs to compare, made in milliseconds: synthetic ones, of which some predictions are changed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy
from experiments import make_runtime
from synthetic_run import make_run

from imgcls import environment
from imgcls.evaluation import predictions
from imgcls.family import By, Family, FamilyRecord
from imgcls.io import files
from imgcls.io.records import write_record
from imgcls.run import Run

QUICK = {"evaluate": {"bootstrap_samples": 100}}


def make_compared(folder: Path, right: float = 0.7, variant: int = 0, **arguments: Any) -> Run:
    """Return a synthetic run that classifies about a fraction of its test images correctly.

    Args:
        right: the fraction.
        variant: the seed of which images those are, and of the probabilities.
        arguments: of `make_run`.
    """
    run = make_run(folder, **{**QUICK, **arguments})
    write_record(run.environment_file, environment.describe(0, ["CPU:0"], make_runtime(), [], None))
    images = len(predictions.load(run, "test").labels)
    set_correct(run, numpy.random.default_rng(variant).random(images) < right, variant)
    return run


def make_pair() -> tuple[Run, Run]:
    """Return runs in the folders `old` and `new`, of which the second has more images right."""
    return make_compared(Path("old"), 0.6, 0), make_compared(Path("new"), 0.9, 1)


def set_correct(run: Run, correct: numpy.ndarray, variant: int = 0) -> None:
    """Change which test images a run classifies correctly.

    Args:
        correct: bool (images,).
        variant: the seed of the probabilities.
    """
    found = predictions.load(run, "test")
    generator = numpy.random.default_rng([variant, 1])
    images, classes = found.probabilities.shape
    wrong = (found.labels + generator.integers(1, classes, images)) % classes
    scores = generator.random((images, classes)) / 2
    scores[numpy.arange(images), numpy.where(correct, found.labels, wrong)] = 1
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    change_predictions(run, probabilities=probabilities.astype(numpy.float32))


def change_predictions(run: Run, **changes: Any) -> None:
    """Change fields of a run's saved predictions on its test split."""
    found = replace(predictions.load(run, "test"), **changes)
    predictions.save(found, run.predictions_file("test"))


def make_family(folder: Path, correct: list[numpy.ndarray], by: By = "seed") -> Family:
    """Return a synthetic family.

    Args:
        correct: which test images each run classifies correctly, bool (images,); of folds, each run
            has test images of its own.
    """
    numbers = list(range(len(correct)) if by == "seed" else range(1, len(correct) + 1))
    for index, (number, right) in enumerate(zip(numbers, correct, strict=True)):
        run = make_compared(folder / f"{by}-{number}", variant=index, seed=number)
        set_correct(run, right, index)
        if by == "fold":
            ids = predictions.load(run, "test").ids
            change_predictions(run, ids=[f"fold {number}: {name}" for name in ids])
    first = Run(folder / f"{by}-{numbers[0]}")
    family = Family(folder)
    files.write_text(family.experiment_file, first.experiment.to_yaml())
    record = FamilyRecord(
        format=FamilyRecord.FORMAT, by=by, numbers=numbers, fingerprint=first.data.fingerprint
    )
    write_record(family.record_file, record)
    return family
