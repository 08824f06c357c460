"""The verb `audit`: the audit report of prepared data, and likely label errors. Light zone."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.audit import confident_learning
from imgcls.audit import runner as audits
from imgcls.audit.audit_report import AuditReport
from imgcls.checks import format_count
from imgcls.datasets import SplitName
from imgcls.errors import DataError
from imgcls.evaluation import predictions
from imgcls.experiment_file import read_experiment
from imgcls.io.records import Record
from imgcls.report.tables import format_table
from imgcls.run import Run
from imgcls.run_lookup import find_run, open_finished_run
from imgcls.store import lookup
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy

_HELD_OUT: tuple[SplitName, ...] = ("validation", "test")


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

    runs: list[str]
    """The folders of the runs."""
    evaluated: int
    """The number of images that at least one run held out and predicted."""
    images: int
    """The number of images in the store."""
    errors: list[LabelError]
    """The errors, most likely first."""


class DataAudit(Record):
    """The audit report of prepared data, and likely label errors."""

    dataset: str
    """The name of the dataset part."""
    folder: str
    """The folder of the store."""
    fingerprint: str
    """The fingerprint of the store."""
    split: str
    """The key of the split."""
    audit: AuditReport
    """The findings of the checks."""
    label_errors: LabelErrors | None
    """Likely label errors; null without a run."""


def audit(target: Path, runs: Sequence[Path] = (), overrides: Sequence[str] = ()) -> DataAudit:
    """Return the audit report of prepared data; with runs, also likely label errors.

    Args:
        target: an experiment file, or the folder of a run to use as the first of `runs`.
        runs: folders of runs on the same data. The probabilities of images that several runs held
            out are averaged.
        overrides: of the experiment, `a.b=value`.

    Raises:
        UserError: the experiment or a run does not exist.
        DataError: the data is not prepared or audited, or a run has no predictions of held-out
            images, or was trained on other data.
    """
    store, key = _open_data(target, overrides)
    folders = [target, *runs] if target.is_dir() else runs
    return DataAudit(
        dataset=store.dataset,
        folder=str(store.folder),
        fingerprint=store.fingerprint,
        split=key,
        audit=_read_report(store, key),
        label_errors=_find_label_errors(store, folders) if folders else None,
    )


def _open_data(target: Path, overrides: Sequence[str]) -> tuple[Store, str]:
    """Return the store of a run or an experiment, and the key of its split."""
    if target.is_dir():
        run, experiment = find_run(target, overrides)
        store, split = lookup.open_run_store(run.data, experiment.data.store_dir)
        return store, split.key
    experiment = read_experiment(target, overrides)
    key = lookup.compute_split_key(experiment.data, experiment.split_seed)
    return lookup.find_audited(experiment), key


def format_report(report: DataAudit) -> str:
    """Format the result of `audit` as text."""
    sections = [f"{report.dataset}, in {report.folder}", audits.format_report(report.audit)]
    if report.label_errors:
        sections.append(_format_label_errors(report.label_errors))
    return "\n\n".join(sections)


def _read_report(store: Store, key: str) -> AuditReport:
    if key not in store.manifest.audits:
        raise DataError(
            f"{store.folder} has no audit of this split; run `imgcls prepare` again on the"
            " experiment"
        )
    return store.manifest.audits[key]


def _find_label_errors(store: Store, folders: Sequence[Path]) -> LabelErrors:
    """Find likely label errors, from the mean probabilities of the runs that held an image out."""
    import numpy

    sums = numpy.zeros((store.count, len(store.classes)))
    counts = numpy.zeros(store.count, numpy.int64)
    for folder in dict.fromkeys(folders):
        run, _ = open_finished_run(folder)
        indices, probabilities = _read_held_out(run, store)
        sums[indices] += probabilities
        counts[indices] += 1
    evaluated = numpy.flatnonzero(counts)
    probabilities, labels = sums[evaluated] / counts[evaluated, None], store.labels[evaluated]
    suggested = confident_learning.suggest_labels(probabilities, labels)
    margins = confident_learning.compute_margins(probabilities, labels)
    suspected = numpy.flatnonzero(suggested != labels)
    suspected = suspected[numpy.lexsort([suspected, margins[suspected]])]
    rows = zip(store.get_ids(evaluated[suspected]), suspected.tolist(), strict=True)
    errors = [
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
    return LabelErrors(
        runs=[str(folder) for folder in dict.fromkeys(folders)],
        evaluated=len(evaluated),
        images=store.count,
        errors=errors,
    )


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


def _format_label_errors(found: LabelErrors) -> str:
    """Return the likeliest errors as a table."""
    errors = found.errors
    images = (
        f"{found.evaluated:,} of {found.images:,} images, by {format_count(len(found.runs), 'run')}"
    )
    title = f"label errors: {format_count(len(errors), 'label')} suspected among {images}"
    if not errors:
        return title
    rows = [
        {
            "image": error.id,
            "label": error.label,
            "suggested": error.suggested_label,
            "margin": error.margin,
        }
        for error in errors
    ]
    advice = (
        "next: review them (--json lists all; models make mistakes too), and fix wrong labels in"
        " the source"
    )
    return f"{title}; the likeliest first:\n\n{format_table(rows, limit=20)}\n\n{advice}"
