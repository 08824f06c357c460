"""The verb `audit`: show what the audit of prepared data found, and after training the labels that
models contradict. Light zone.
"""

import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls.audit import confident_learning
from imgcls.audit import runner as audits
from imgcls.checks import format_count
from imgcls.datasets import SplitName
from imgcls.errors import DataError, UserError
from imgcls.evaluation import predictions
from imgcls.evaluation.predictions import Predictions
from imgcls.experiment_file import read_experiment
from imgcls.io import files
from imgcls.io.terminal import to_printable
from imgcls.run import Run, find_run
from imgcls.store import lookup
from imgcls.store.store import Store

if TYPE_CHECKING:
    import numpy

_HELD_OUT: tuple[SplitName, ...] = ("validation", "test")
_SHOWN = 20


def audit(target: Path, runs: list[Path], overrides: list[str]) -> dict[str, Any]:
    """Return the verdict on prepared data, and with runs the likely label errors by what they
    predict of images held out from them.

    Args:
        target: an experiment file, or a run folder, which then is the first of the runs.
        runs: more run folders, of the same data; an image that several of them held out is judged
            by their mean probabilities.
        overrides: `a.b=value`.

    Returns:
        dataset, folder, fingerprint, split, the verdict as `audit`, and `label_errors`, None
        without a run.

    Raises:
        UserError: there is no such experiment or run.
        DataError: nothing is prepared or audited, or a run has no predictions of held-out images,
            or of other data.
    """
    if target.is_dir():
        run, experiment = find_run(target, overrides)
        store, split = lookup.open_run_store(run.data, experiment.data.store_dir)
        key, folders = split.key, [target, *runs]
    else:
        experiment = read_experiment(target, overrides)
        store, key = (
            lookup.find_audited(experiment),
            lookup.compute_split_key(experiment.data, experiment.seed),
        )
        folders = runs
    return {
        "dataset": store.dataset,
        "folder": str(store.folder),
        "fingerprint": store.fingerprint,
        "split": key,
        "audit": _read_report(store, key),
        "label_errors": (
            _find_label_errors(store, folders, experiment.data.store_dir) if folders else None
        ),
    }


def format_report(report: dict[str, Any]) -> str:
    """Return what `audit` found, for people."""
    sections = [
        f"{report['dataset']}, in {report['folder']}",
        audits.format_report(report["audit"]),
    ]
    if report["label_errors"]:
        sections.append(_format_label_errors(report["label_errors"]))
    return "\n\n".join(sections)


def _read_report(store: Store, key: str) -> dict[str, Any]:
    if key not in store.manifest["audits"]:
        raise DataError(
            f"{store.folder} holds no audit of this split; run `imgcls prepare` again on the"
            " experiment, which makes one"
        )
    return store.manifest["audits"][key]


def _find_label_errors(store: Store, folders: list[Path], parent: str) -> dict[str, Any]:
    """Judge every image that a run held out, by the mean of the probabilities from the runs that
    did.
    """
    import numpy

    sums = numpy.zeros((store.count, len(store.classes)))
    counts = numpy.zeros(store.count, numpy.int64)
    for folder in dict.fromkeys(folders):
        indices, probabilities = _read_held_out(
            find_run(_require_run(folder), [f"data.store_dir={parent}"])[0], store, parent
        )
        sums[indices] += probabilities
        counts[indices] += 1
    judged = numpy.flatnonzero(counts)
    probabilities, labels = sums[judged] / counts[judged, None], store.labels[judged]
    suggested = confident_learning.suggest_labels(probabilities, labels)
    margins = confident_learning.compute_margins(probabilities, labels)
    suspected = numpy.flatnonzero(suggested != labels)
    suspected = suspected[numpy.lexsort([suspected, margins[suspected]])]
    rows = zip(store.ids(judged[suspected]), suspected.tolist(), strict=True)
    errors = [
        {
            "id": name,
            "label": store.classes[labels[i]],
            "suggested": store.classes[suggested[i]],
            "probability_of_label": float(probabilities[i, labels[i]]),
            "probability_of_suggested": float(probabilities[i, suggested[i]]),
            "margin": float(margins[i]),
        }
        for name, i in rows
    ]
    return {
        "runs": [str(folder) for folder in dict.fromkeys(folders)],
        "evaluated": len(judged),
        "images": store.count,
        "errors": errors,
    }


def _require_run(folder: Path) -> Path:
    if not folder.is_dir():
        raise UserError(
            f"{folder} is not a run folder; give the folders of finished runs, such as"
            " runs/digits/1, after the first argument"
        )
    return folder


def _read_held_out(run: Run, store: Store, parent: str) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return the images that a run did not train on and has predicted, int64 (n,), and their
    probabilities (n, classes).
    """
    import numpy

    if run.data["fingerprint"] != store.fingerprint:
        raise DataError(
            f"{run.folder} was trained on other data ({run.data['fingerprint'][:12]}) than"
            f" {store.folder}; leave it out"
        )
    split = lookup.open_run_store(run.data, parent)[1]
    saved = {
        name: _load_predictions(run, name)
        for name in _HELD_OUT
        if run.predictions_file(name).is_file()
    }
    for name, found in saved.items():
        if found.ids != store.ids(split.indices(name)) or found.model != files.compute_sha256(
            run.model_file
        ):
            path = run.predictions_file(name)
            raise DataError(
                f"{path} is not of this run's data and model; run `imgcls eval {run.folder} --split"
                f" {name}` again"
            )
    if not saved:
        commands = " or ".join(
            f"`imgcls eval {run.folder} --split {name}`"
            for name in _HELD_OUT
            if run.data["sizes"][name]
        )
        raise DataError(
            f"{run.folder} has no predictions of images that it did not train on; run {commands}"
            " first"
        )
    indices = numpy.concatenate([split.indices(name) for name in saved])
    return indices, numpy.concatenate([found.probabilities for found in saved.values()])


def _load_predictions(run: Run, split: SplitName) -> Predictions:
    path = run.predictions_file(split)
    try:
        return predictions.load(path)
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise DataError(
            f"{path} is damaged ({error}); run `imgcls eval {run.folder} --split {split}` again"
        ) from None


def _format_label_errors(found: dict[str, Any]) -> str:
    """Return the likeliest errors as a table."""
    errors = found["errors"]
    judged = (
        f"{found['judged']:,} of {found['images']:,} images, by"
        f" {format_count(len(found['runs']), 'run')}"
    )
    title = f"label errors: {format_count(len(errors), 'label')} suspected among {judged}"
    if not errors:
        return title
    cells = [("image", "label", "suggested", "margin")]
    for error in errors[:_SHOWN]:
        cells.append(
            (
                *(to_printable(error[column]) for column in ("id", "label", "suggested")),
                f"{error['margin']:+.3f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    rest = (
        [f"and {len(errors) - _SHOWN} more, less likely: --json lists all"]
        if len(errors) > _SHOWN
        else []
    )
    advice = "next: look at them, since models err too, and correct wrong labels at their source"
    return "\n".join([f"{title}; the likeliest first:", "", *lines, *rest, "", advice])
