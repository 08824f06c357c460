"""The verb `reproduce`: trains a run or a family again from its folder alone, and compares. Light
zone.

It runs the verbs `train` and `evaluate`.
"""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgcls.config import Experiment
from imgcls.distributed.cluster import Cluster, find_cluster
from imgcls.errors import DataError, EpochLimit, GateError, Interrupted, UserError
from imgcls.family import Family, require_one_process
from imgcls.io import numbered_folders, terminal
from imgcls.io.records import write_record
from imgcls.report.tables import format_pairs, format_table
from imgcls.run import RUNS, Run
from imgcls.run_lookup import require_finished
from imgcls.store import lookup
from imgcls.training import differences, history, teacher
from imgcls.training.differences import Tolerances
from imgcls.training.new_run import create_run
from imgcls.training.plan import read_plan
from imgcls.training.reproduction import Reproduction
from imgcls.transfer import source
from imgcls.transfer.record import read_initial_weights
from imgcls.verbs import evaluate, train


def reproduce(
    run_or_family: Run | Family,
    experiment: Experiment | None = None,
    folder: Path | None = None,
    epochs: int | None = None,
    tolerances: Mapping[str, float] = {},
    cluster: Cluster | None = None,
) -> dict[str, Any] | None:
    """Train a finished run again, or each run of a family; compare all that training makes.

    That is the data, the log, the weights, the temperature, and the metrics that were saved.

    Args:
        experiment: None for that of the run; settings that do not affect training may differ.
        folder: of the new run, or of one to continue; None for `runs/<name>/<next number>`. For a
            family, the folder of the new runs; None for `runs/<name>/reproduction-<next number>`.
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
    experiment = experiment or run_or_family.experiment
    if isinstance(run_or_family, Family):
        require_one_process(cluster)
        return _reproduce_family(run_or_family, experiment, folder, epochs, tolerances)
    summary = _reproduce_run(run_or_family, experiment, folder, epochs, tolerances, cluster)
    if summary and summary["difference"]:
        raise GateError(differences.format_difference(summary), summary)
    return summary


def _reproduce_family(
    family: Family,
    experiment: Experiment,
    folder: Path | None,
    epochs: int | None,
    tolerances: Tolerances,
) -> dict[str, Any]:
    """Reproduce each run of a family, all of them even if one differs."""
    family.require_finished()
    for run in family.runs:
        _require_reproducible(run, experiment, epochs, tolerances)
    if folder:
        _require_for_members(folder, family)
    parent = folder or numbered_folders.make_next(RUNS / experiment.name, "reproduction-")
    summaries = []
    for run, own in family.pair_runs(experiment):
        terminal.note(f"reproducing {run.folder}")
        try:
            summary = _reproduce_run(run, own, parent / run.folder.name, epochs, tolerances, None)
        except Interrupted as error:
            command = _format_command(family.folder, parent, epochs, tolerances)
            raise Interrupted(error.reason, f"continue with: {command}") from None
        summaries += [summary] if summary else []
    differing = [each for each in summaries if each["difference"]]
    found = {
        "family": str(family.folder),
        "reproduction": str(parent),
        "result": (differing or summaries)[0]["result"],
        "runs": summaries,
    }
    if differing:
        raise GateError(
            f"{len(differing)} of {len(summaries)} runs differ; the first:"
            f" {differences.format_difference(differing[0])}",
            found,
        )
    return found


def _require_for_members(folder: Path, family: Family) -> None:
    """Check that a folder can hold the new runs of a family: it has nothing but such runs.

    Raises:
        UserError: it is the family itself, or has other files.
    """
    if folder.resolve() == family.folder.resolve():
        raise UserError(
            f"--run {folder} is the family itself; choose another folder for the reproduction"
        )
    names = {run.folder.name for run in family.runs}
    if folder.exists() and not (
        folder.is_dir()
        and all(path.name in names or path.name.startswith(".") for path in folder.iterdir())
    ):
        raise UserError(
            f"--run {folder} exists, but is not a reproduction of {family.folder}; choose a new or"
            " empty folder"
        )


def _format_command(target: Path, folder: Path, epochs: int | None, tolerances: Tolerances) -> str:
    """Return the command that continues a reproduction."""
    options = [f"--epochs {epochs}"] if epochs else []
    options += [f"--tolerance {name}={value}" for name, value in tolerances.items()]
    return " ".join([f"imgcls reproduce {target} --run {folder}", *options])


def format_report(summary: dict[str, Any]) -> str:
    """Format the result of `reproduce` as text."""
    if "runs" not in summary:
        return format_pairs(summary)
    shown = ("run", "result", "difference")
    rows = [{name: each[name] for name in shown} for each in summary["runs"]]
    scope = {name: summary["runs"][0][name] for name in ("compared", "not_compared")}
    pairs = {name: value for name, value in summary.items() if name != "runs"}
    return f"{format_pairs(pairs | scope)}\n\n{format_table(rows)}"


def _reproduce_run(
    run: Run,
    experiment: Experiment,
    folder: Path | None,
    epochs: int | None,
    tolerances: Tolerances,
    cluster: Cluster | None,
) -> dict[str, Any] | None:
    compared = _require_reproducible(run, experiment, epochs, tolerances)
    complete = compared == len(run.log)
    reproduction = Reproduction(run=str(run.folder), epochs=None if complete else compared)
    again = _train_again(run, experiment, folder, reproduction, tolerances, cluster)
    if again is None:
        return None
    _require_same_data(run, again)
    weights = read_initial_weights(again.weights_file)
    _require_same_weights(run, weights.sha256 if weights else None)
    if complete:
        _evaluate_again(run, again, experiment)
    return differences.compare_runs(run, again, tolerances, compared, complete)


def _require_reproducible(
    run: Run, experiment: Experiment, epochs: int | None, tolerances: Tolerances
) -> int:
    """Check that a run can be reproduced with these options, and return the epochs to compare.

    Raises:
        UserError: it has fewer epochs, does not have a quantity of `tolerances`, or was compressed.
        DataError: it is not finished; its data is missing; or its data, the weights that it started
            from, or its teacher have changed.
    """
    require_finished(run)
    if made := run.compression:
        raise UserError(
            f"{run.folder} was compressed, not trained; reproduce {made.original}, and compress"
            " the reproduction"
        )
    compared = _count_epochs(run, epochs)
    differences.require_valid(tolerances, run, compared, compared == len(run.log))
    lookup.open_run_store(run.data, experiment.data.store_dir)
    _require_same_weights(run, source.compute_sha256(experiment.model))
    teacher.require_same(run, experiment.train.distillation)
    return compared


def _count_epochs(run: Run, wanted: int | None) -> int:
    """Return how many epochs are compared."""
    length = len(history.read_complete_log(run))
    if wanted is not None and not 0 < wanted <= length:
        raise UserError(
            f"--epochs {wanted}: {run.folder} has {length} epochs; give a number from 1 to {length}"
        )
    return wanted or length


def _train_again(
    run: Run,
    experiment: Experiment,
    folder: Path | None,
    reproduction: Reproduction,
    tolerances: Tolerances,
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
    if plan := read_plan(run):
        write_record(again.plan_file, plan)
    try:
        train.train(experiment, again.folder, epochs, cluster, run.data)
    except EpochLimit:
        return again  # as requested by `epochs`
    except Interrupted as error:
        command = _format_command(run.folder, again.folder, epochs, tolerances)
        advice = f"{error.advice}, then compare with: {command}"
        raise Interrupted(error.reason, advice) from None
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


def _require_same_weights(run: Run, sha256: str | None) -> None:
    """Check the weights that a run started from.

    Args:
        sha256: of those that are there now; None if it is not known yet.

    Raises:
        DataError: they are others.
    """
    started_from = read_initial_weights(run.weights_file)
    if started_from and sha256 not in (None, started_from.sha256):
        raise DataError(
            f"the weights that {run.folder} started from, {started_from.source}, have changed:"
            f" their SHA-256 was {started_from.sha256[:12]}, and is {str(sha256)[:12]} now; restore"
            " them"
        )


def _evaluate_again(run: Run, again: Run, experiment: Experiment) -> None:
    for split in differences.list_evaluated_splits(run):
        evaluate.evaluate(again, experiment, split)
