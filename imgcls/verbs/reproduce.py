"""The verb `reproduce`: trains a run again from its folder alone, and compares both. Light zone.

It runs the verbs `train` and `evaluate`.
"""

import contextlib
import io
import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgcls import parts
from imgcls.config import Experiment
from imgcls.datasets import SPLITS
from imgcls.distributed.cluster import Cluster, find_cluster
from imgcls.errors import DataError, EpochLimit, GateError, Interrupted, UserError
from imgcls.io import terminal
from imgcls.io.records import DataFile
from imgcls.run import Run, create_run
from imgcls.run_lookup import require_finished
from imgcls.store import lookup
from imgcls.training import history
from imgcls.training.history import EpochLog
from imgcls.verbs import evaluate, train

Tolerances = Mapping[str, float]


def reproduce(
    run: Run,
    experiment: Experiment | None = None,
    folder: Path | None = None,
    epochs: int | None = None,
    tolerances: Mapping[str, float] = {},
    cluster: Cluster | None = None,
) -> dict[str, Any] | None:
    """Train a finished run again, and compare data, log, weights and saved metrics.

    Args:
        experiment: None for that of the run; settings that do not affect training may differ.
        folder: of the new run, or of one to continue; None for `runs/<name>/<next number>`.
        epochs: number of epochs to train and compare; None for all.
        tolerances: the largest differences allowed, by quantity; if there are any, only these
            quantities are compared.
        cluster: as in `train`.

    Returns:
        The summary that the command prints, whose `difference` is None. None in a worker that is
        not the chief.

    Raises:
        GateError: a value differs; the error's `result` is the summary, whose `difference`
            describes the first difference.
        UserError: the run has fewer epochs, or does not have a quantity of `tolerances`.
        DataError: the run is not finished, or its data is missing or has changed.
    """
    require_finished(run)
    experiment = experiment or run.experiment
    compared = _count_epochs(run, epochs)
    complete = compared == len(run.log)
    _require_valid(tolerances, _read_final_quantities(run, compared, complete))
    lookup.open_run_store(run.data, experiment.data.store_dir)
    again = _train_again(run, experiment, folder, None if complete else compared, cluster)
    if again is None:
        return None
    _require_same_data(run, again)
    if complete:
        _evaluate_again(run, again, experiment)
    summary = {
        "run": str(run.folder),
        "reproduction": str(again.folder),
        "epochs": compared,
        "versions_changed": _find_changed_versions(run, again),
        "difference": _find_difference(run, again, tolerances, compared, complete),
    }
    _require_same(summary)
    return summary


def _count_epochs(run: Run, wanted: int | None) -> int:
    """Return how many epochs are compared."""
    length = len(run.log)
    if wanted is not None and not 0 < wanted <= length:
        raise UserError(
            f"--epochs {wanted}: {run.folder} has {length} epochs; give a number from 1 to {length}"
        )
    return wanted or length


def _find_difference(
    run: Run, again: Run, tolerances: Tolerances, epochs: int, complete: bool
) -> str | None:
    """Describe the first difference, of the quantities with a tolerance or of all."""
    if tolerances:
        return _find_first_beyond(run, again, tolerances, epochs, complete)
    return _find_first_difference(run, again, epochs, complete)


def _require_same(summary: dict[str, Any]) -> None:
    if summary["difference"]:
        changed = summary["versions_changed"]
        versions = f"; other versions were used: {', '.join(changed)}" if changed else ""
        raise GateError(
            f"{summary['reproduction']} differs from {summary['run']}:"
            f" {summary['difference']}{versions}",
            summary,
        )


def _train_again(
    run: Run,
    experiment: Experiment,
    folder: Path | None,
    epochs: int | None,
    cluster: Cluster | None,
) -> Run | None:
    cluster = cluster or find_cluster(experiment, folder)
    if not cluster.is_chief:
        with contextlib.suppress(EpochLimit):
            train.train(experiment, folder, epochs, cluster, run.data)
        return None
    if folder is not None and folder.resolve() == run.folder.resolve():
        raise UserError(
            f"--run {folder} is the run itself; choose another folder for the reproduction"
        )
    again = create_run(experiment) if folder is None else Run(folder)
    try:
        train.train(experiment, again.folder, epochs, cluster, run.data)
    except EpochLimit:
        return again  # as requested by `epochs`
    except Interrupted as error:
        raise Interrupted(
            f"{error}, then compare with: imgcls reproduce {run.folder} --run {again.folder}"
        ) from None
    return again


def _require_same_data(run: Run, again: Run) -> None:
    there, here = run.data.model_dump(), again.data.model_dump()
    for key, value in there.items():
        if here[key] != value:
            raise DataError(
                f"the data changed since {run.folder} was trained: its {key} was {value}, now it is"
                f" {here[key]}"
            )


def _evaluate_again(run: Run, again: Run, experiment: Experiment) -> None:
    for split in _list_evaluated_splits(run):
        evaluate.evaluate(again, experiment, split)


def _list_evaluated_splits(run: Run) -> list[str]:
    """Return the splits that a run was evaluated on."""
    return [split for split in SPLITS if run.metrics_file(split).exists()]


def _read_final_quantities(
    run: Run, epochs: int, complete: bool
) -> dict[str, dict[str, float | None]]:
    """Return the final results of a run, by where they come from.

    These are the metrics of each evaluated split, or else the log of the last compared epoch.
    """
    if complete and _list_evaluated_splits(run):
        return {
            f"{split} split": run.read_evaluation(split).metrics
            for split in _list_evaluated_splits(run)
        }
    row = run.log[epochs - 1]
    return {
        f"epoch {epochs}, step {row.step}": {name: getattr(row, name) for name in history.RESULTS}
    }


def _require_valid(tolerances: Tolerances, quantities: dict[str, dict[str, float | None]]) -> None:
    known = sorted({name for values in quantities.values() for name in values})
    for name, tolerance in tolerances.items():
        option = f"--tolerance {name}={tolerance:g}"
        if name not in known:
            guess = parts.suggest(name, known)
            raise UserError(
                f"{option}: the run has no quantity '{name}'; allowed: {', '.join(known)}{guess}"
            )
        if not 0 <= tolerance < math.inf:
            raise UserError(
                f"{option}: {tolerance} is not a finite number from 0 on; give one such as 0.005"
            )


def _find_first_beyond(
    run: Run, again: Run, tolerances: Tolerances, epochs: int, complete: bool
) -> str | None:
    """Describe the first final result that differs by more than its tolerance."""
    here = _read_final_quantities(again, epochs, complete)
    for place, values in _read_final_quantities(run, epochs, complete).items():
        for name, tolerance in tolerances.items():
            one, other = values.get(name), here[place].get(name)
            if one != other and (one is None or other is None or abs(one - other) > tolerance):
                return (
                    f"{place}: {name} was {one} and is {other}, which differs by more than"
                    f" {tolerance:g}"
                )
    return None


def _find_first_difference(run: Run, again: Run, epochs: int, complete: bool) -> str | None:
    """Describe the first value that is not bit-identical: in the log, the weights, the metrics."""
    for one, other in zip(run.log[:epochs], again.log, strict=False):
        for name in (name for name in EpochLog.model_fields if name not in history.TIMES):
            old, new = getattr(one, name), getattr(other, name)
            if old != new:
                return f"epoch {one.epoch}, step {one.step}: {name} was {old} and is {new}"
    if len(again.log) < epochs:
        return f"it stopped after epoch {len(again.log)} instead of {epochs}"
    if not complete:
        return None
    different = _find_first_different_weight(run.model_file, again.model_file)
    if different:
        return different
    here = _read_final_quantities(again, epochs, complete)
    for place, values in _read_final_quantities(run, epochs, complete).items():
        for name, value in values.items():
            if value != here[place][name]:
                return f"{place}: {name} was {value} and is {here[place][name]}"
    return None


def _find_first_different_weight(one: Path, other: Path) -> str | None:
    import numpy

    before, after = _read_weights(one), _read_weights(other)
    if before.keys() != after.keys():
        return f"model.keras: other variables, such as {sorted(before.keys() ^ after.keys())[0]}"
    for name, value in before.items():
        if value.shape != after[name].shape:
            return f"model.keras: {name} had shape {value.shape} and has {after[name].shape}"
        if not numpy.array_equal(value, after[name]):
            difference = numpy.abs(value.astype(numpy.float64) - after[name]).max()
            return f"model.keras: {name} differs by up to {difference:.3g}"
    return None


def _read_weights(model_file: Path) -> dict[str, Any]:
    """Return the arrays in a Keras archive, by name."""
    import h5py

    file = DataFile(
        model_file, "remove it, and run the training command again, which writes a new one"
    )
    content = io.BytesIO(file.read_bytes())
    arrays: dict[str, Any] = {}
    try:
        with (
            zipfile.ZipFile(content) as archive,
            h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights,
        ):
            weights.visititems(
                lambda name, item: (
                    arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
                )
            )
    except MemoryError:
        raise
    except Exception as error:  # a flipped bit makes zipfile and h5py raise nearly anything
        raise file.make_damage_error(str(error) or type(error).__name__) from None
    return arrays


def _find_changed_versions(run: Run, again: Run) -> list[str]:
    try:
        there = run.environment.versions
    except DataError as error:
        terminal.note(f"versions are not compared: {error}")
        return []
    here = again.environment.versions
    return [
        f"{name} {there.get(name)} then, {here.get(name)} now"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]
