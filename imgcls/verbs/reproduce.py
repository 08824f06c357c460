"""The verb `reproduce`: trains a run again from its folder alone, and compares both. Light zone.

It runs the verbs `train` and `evaluate`.
"""

import contextlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgcls import parts
from imgcls.config import Experiment
from imgcls.distributed.cluster import Cluster, find_cluster
from imgcls.errors import DataError, EpochLimit, GateError, Interrupted, UserError
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.run import Run, create_run
from imgcls.run_lookup import require_finished
from imgcls.store import lookup
from imgcls.training import differences
from imgcls.training.differences import Tolerances
from imgcls.training.reproduction import Reproduction
from imgcls.verbs import evaluate, train


def reproduce(
    run: Run,
    experiment: Experiment | None = None,
    folder: Path | None = None,
    epochs: int | None = None,
    tolerances: Mapping[str, float] = {},
    cluster: Cluster | None = None,
) -> dict[str, Any] | None:
    """Train a finished run again, and compare data, log, weights, temperature and saved metrics.

    Args:
        experiment: None for that of the run; settings that do not affect training may differ.
        folder: of the new run, or of one to continue; None for `runs/<name>/<next number>`.
        epochs: number of epochs to train and compare; None for all.
        tolerances: the largest differences allowed, by quantity; if there are any, only these
            quantities are compared.
        cluster: as in `train`.

    Returns:
        The summary that the command prints: the result, "identical" or "within tolerance", and what
        was compared and what not. None in a worker that is not the chief.

    Raises:
        GateError: a value differs; the error's `result` is the summary, whose result is "different"
            and whose `difference` describes the first difference.
        UserError: the run has fewer epochs, or does not have a quantity of `tolerances`.
        DataError: the run is not finished, or its data is missing or has changed.
    """
    require_finished(run)
    experiment = experiment or run.experiment
    compared = _count_epochs(run, epochs)
    complete = compared == len(run.log)
    _require_valid(tolerances, differences.read_final_quantities(run, compared, complete))
    lookup.open_run_store(run.data, experiment.data.store_dir)
    reproduction = Reproduction(run=str(run.folder), epochs=None if complete else compared)
    again = _train_again(run, experiment, folder, reproduction, cluster)
    if again is None:
        return None
    _require_same_data(run, again)
    if complete:
        _evaluate_again(run, again, experiment)
    summary = _compare(run, again, tolerances, compared, complete)
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


def _compare(
    run: Run, again: Run, tolerances: Tolerances, epochs: int, complete: bool
) -> dict[str, Any]:
    """Return the summary: of the quantities with a tolerance, or of all."""
    if tolerances:
        same = "within tolerance"
        difference = differences.find_first_beyond(run, again, tolerances, epochs, complete)
    else:
        same = "identical"
        difference = differences.find_first_difference(run, again, epochs, complete)
    return {
        "run": str(run.folder),
        "reproduction": str(again.folder),
        "result": "different" if difference else same,
        **_describe_scope(run, tolerances, epochs, complete),
        "difference": difference,
        "versions_changed": _find_changed_versions(run, again),
    }


def _describe_scope(
    run: Run, tolerances: Tolerances, epochs: int, complete: bool
) -> dict[str, list[str]]:
    """Return what is compared, and what is not."""
    places, length = differences.read_final_quantities(run, epochs, complete), len(run.log)
    if tolerances:
        named = [
            f"{name} ({place})" for place in places for name in tolerances if name in places[place]
        ]
        rest = ["log", "weights", "temperature", "other results"]
        return {"compared": ["data", *named], "not_compared": rest}
    if not complete:
        which = f"epochs 1 to {epochs}" if epochs > 1 else "epoch 1"
        return {
            "compared": ["data", f"log of {which} of {length}"],
            "not_compared": ["log of later epochs", "weights", "temperature", "metrics"],
        }
    metrics = [f"metrics of the {split} split" for split in differences.list_evaluated_splits(run)]
    whole = ["data", f"log of all {length} epochs", "weights", "temperature", *metrics]
    return {"compared": whole, "not_compared": []}


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
    reproduction: Reproduction,
    cluster: Cluster | None,
) -> Run | None:
    """Return the reproduction, finished or with as many epochs as wanted; None in a worker that is
    not the chief.
    """
    epochs = reproduction.epochs
    cluster = cluster or find_cluster(experiment, folder)
    if not cluster.is_chief:
        with contextlib.suppress(EpochLimit):
            train.train(experiment, folder, epochs, cluster, run.data)
        return None
    if folder is not None and folder.resolve() == run.folder.resolve():
        raise UserError(
            f"--run {folder} is the run itself; choose another folder for the reproduction"
        )
    again = _open_reproduction(experiment, folder, reproduction)
    try:
        train.train(experiment, again.folder, epochs, cluster, run.data)
    except EpochLimit:
        return again  # as requested by `epochs`
    except Interrupted as error:
        raise Interrupted(
            f"{error}, then compare with: imgcls reproduce {run.folder} --run {again.folder}"
        ) from None
    return again


def _open_reproduction(
    experiment: Experiment, folder: Path | None, reproduction: Reproduction
) -> Run:
    """Return a new run, or one to continue. It is marked, unless `imgcls train` started it."""
    if folder is None or not folder.exists() or Run(folder).can_be_recreated():
        return create_run(experiment, folder, reproduction)
    again = Run(folder)
    if again.is_reproduction:  # with fewer epochs, perhaps
        write_record(again.reproduction_file, reproduction)
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
    for split in differences.list_evaluated_splits(run):
        evaluate.evaluate(again, experiment, split)


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
