"""Likely label errors, from the predictions of runs on images that they held out. Light zone."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.audit import confident_learning
from imgcls.checks import format_count
from imgcls.datasets import SplitName
from imgcls.errors import DataError
from imgcls.evaluation import predictions
from imgcls.io.records import Record
from imgcls.report.tables import format_table
from imgcls.run import Run
from imgcls.run_lookup import open_finished_run
from imgcls.store import lookup
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy

_ADVICE = (
    "next: review them (--json lists all; models make mistakes too), and fix wrong labels in the"
    " source"
)
_HELD_OUT: tuple[SplitName, ...] = ("validation", "test")
RELIABLE_ACCURACY = 0.8
"""Below it, fewer than half of the suspects were wrong labels wherever at most 5 % of the labels
had been flipped: digits, Fashion-MNIST and normal distributions of 2, 10 and 100 classes, with
linear models weakened by noise (docs/audit.md). Of ten published data sets, 3.3 % of the labels are
wrong on average (Northcutt, Athalye and Mueller, 2021, https://arxiv.org/abs/2103.14749).
"""


class HeldOutAccuracy(Record):
    """How good a run is on images that it was not trained on."""

    run: str
    """The folder of the run."""
    images: int
    """The number of images that it held out and predicted."""
    accuracy: float
    """The fraction of them that it predicts as labeled, 0..1."""


class LabelError(Record):
    """An image whose label is probably wrong."""

    id: str
    """The id of the image."""
    label: str
    """The class of its label."""
    suggested_label: str
    """The class that is more likely."""
    label_probability: float
    """The predicted probability of the label, 0..1."""
    suggested_probability: float
    """The predicted probability of the suggested class, 0..1."""
    margin: float
    """The probability of the label minus that of the most probable other class, -1..1."""


class LabelErrors(Record):
    """Likely label errors, from the predictions of runs that were not trained on the images."""

    runs: list[HeldOutAccuracy]
    """The runs, each with its accuracy."""
    evaluated: int
    """The number of images that at least one run held out and predicted."""
    images: int
    """The number of images in the store."""
    accuracy: float
    """The fraction of the evaluated images whose label has the highest mean probability, 0..1."""
    reliable: bool
    """false if the accuracy is below 0.8: then most suspects are probably mistakes of the model."""
    errors: list[LabelError]
    """The errors, most likely first."""


def find_label_errors(store: Store, folders: Sequence[Path]) -> LabelErrors:
    """Find likely label errors, from the mean probabilities of the runs that held an image out."""
    import numpy

    sums = numpy.zeros((store.count, len(store.classes)))
    counts = numpy.zeros(store.count, numpy.int64)
    runs = []
    for folder in dict.fromkeys(folders):
        run, _ = open_finished_run(folder)
        indices, probabilities = _read_held_out(run, store)
        sums[indices] += probabilities
        counts[indices] += 1
        accuracy = _compute_accuracy(probabilities, store.labels[indices])
        runs.append(HeldOutAccuracy(run=str(folder), images=len(indices), accuracy=accuracy))
    evaluated = numpy.flatnonzero(counts)
    probabilities, labels = sums[evaluated] / counts[evaluated, None], store.labels[evaluated]
    accuracy = _compute_accuracy(probabilities, labels)
    return LabelErrors(
        runs=runs,
        evaluated=len(evaluated),
        images=store.count,
        accuracy=accuracy,
        reliable=accuracy >= RELIABLE_ACCURACY,
        errors=_list_errors(store, evaluated, probabilities),
    )


def _compute_accuracy(probabilities: "numpy.ndarray", labels: "numpy.ndarray") -> float:
    return float((probabilities.argmax(axis=1) == labels).mean())


def _list_errors(
    store: Store, indices: "numpy.ndarray", probabilities: "numpy.ndarray"
) -> list[LabelError]:
    """Return the suspected labels of the images at some indices, most likely errors first."""
    import numpy

    labels = store.labels[indices]
    suggested = confident_learning.suggest_labels(probabilities, labels)
    margins = confident_learning.compute_margins(probabilities, labels)
    suspected = numpy.flatnonzero(suggested != labels)
    suspected = suspected[numpy.lexsort([suspected, margins[suspected]])]
    rows = zip(store.get_ids(indices[suspected]), suspected.tolist(), strict=True)
    return [
        LabelError(
            id=name,
            label=store.classes[labels[i]],
            suggested_label=store.classes[suggested[i]],
            label_probability=float(probabilities[i, labels[i]]),
            suggested_probability=float(probabilities[i, suggested[i]]),
            margin=float(margins[i]),
        )
        for name, i in rows
    ]


def _read_held_out(run: Run, store: Store) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return the indices of held-out images that a run has predicted, and the probabilities.

    Returns:
        int64 (images,) and float32 (images, classes).
    """
    import numpy

    data = run.data
    if data.fingerprint != store.fingerprint:
        raise DataError(
            f"{run.folder} was trained on other data ({data.fingerprint[:12]}) than"
            f" {store.folder}; leave it out"
        )
    split = lookup.open_run_store(data, str(store.folder.parent))[1]
    saved = {
        name: predictions.load(run, name)
        for name in _HELD_OUT
        if os.path.lexists(run.predictions_file(name))
    }
    for name, found in saved.items():
        ids = store.get_ids(split.get_indices(name))
        if found.ids != ids or not predictions.match_model(found, run):
            path = run.predictions_file(name)
            raise DataError(
                f"{path} is not of this run's data and model; run `imgcls eval {run.folder} --split"
                f" {name}` again"
            )
    if not saved:
        commands = " or ".join(
            f"`imgcls eval {run.folder} --split {name}`" for name in _HELD_OUT if data.sizes[name]
        )
        raise DataError(
            f"{run.folder} has no predictions of images that it did not train on; run {commands}"
            " first"
        )
    indices = numpy.concatenate([split.get_indices(name) for name in saved])
    return indices, numpy.concatenate([found.probabilities for found in saved.values()])


def format_label_errors(found: LabelErrors) -> str:
    """Return how good the runs are, and the likeliest errors as a table."""
    sections = [_format_reliability(found)]
    if len(found.runs) > 1:
        sections.append(format_table([run.model_dump() for run in found.runs]))
    if found.errors:
        rows = [
            {
                "image": error.id,
                "label": error.label,
                "suggested": error.suggested_label,
                "margin": error.margin,
            }
            for error in found.errors
        ]
        sections.append(f"the likeliest first:\n\n{format_table(rows, limit=20)}")
    if found.errors and found.reliable:
        sections.append(_ADVICE)
    return "\n\n".join(sections)


def _format_reliability(found: LabelErrors) -> str:
    """Return the number of suspects, of how many images, and whether the model is good enough."""
    lines = [
        f"label errors: {format_count(len(found.errors), 'label')} suspected"
        f"{'' if found.reliable else ', UNRELIABLE'}",
        f"{found.evaluated:,} of {found.images:,} images"
        f" ({100 * found.evaluated / found.images:.0f} %) were held out and predicted, by"
        f" {format_count(len(found.runs), 'run')}, with an accuracy of {found.accuracy:.3f}",
    ]
    if not found.reliable:
        lines.append(
            f"the accuracy is below {RELIABLE_ACCURACY:g}, so that most suspects are mistakes of"
            " the model, unless more than 5 % of the labels are wrong: train a better model before"
            " you change labels"
        )
    if found.evaluated < found.images:
        lines.append(
            "the other images were trained on, or not predicted: `imgcls eval RUN --split"
            " validation` covers more, and a family of folds (`imgcls train EXPERIMENT --folds 5`)"
            " all of them"
        )
    return "\n".join(lines)
