"""The command `train`: trains a run by the verb `train`, or a family of runs. Light zone.

For a family, it also runs the verbs `prepare` and `evaluate`; for a rehearsal, `rehearse`.
"""

import os
import shlex
from pathlib import Path
from typing import Any

from imgcls.config import Experiment
from imgcls.distributed.cluster import find_cluster
from imgcls.errors import Interrupted, UserError
from imgcls.evaluation import families
from imgcls.evaluation.families import FamilySummary
from imgcls.family import (
    Family,
    Members,
    create_family,
    find_families,
    is_family,
    require_new,
    require_one_process,
)
from imgcls.io import restart, terminal
from imgcls.io.records import write_record
from imgcls.io.refused_folders import remove_if_refused
from imgcls.rehearsal.options import Rehearsal
from imgcls.report import family_text
from imgcls.store import lookup
from imgcls.store.manifest import DataDescription
from imgcls.store.store import Store
from imgcls.training import resume
from imgcls.verbs import evaluate, prepare, rehearse
from imgcls.verbs import train as train_run


def train(
    experiment: Experiment,
    folder: Path | None = None,
    workers: str | None = None,
    rank: int | None = None,
    members: Members | None = None,
    rehearsal: Rehearsal | None = None,
) -> dict[str, Any] | FamilySummary | None:
    """Train a run, or a run for each seed or fold; or continue what is not finished; or rehearse.

    Args:
        folder: of the run or family; None for the newest unfinished one with these settings and
            members, else for a new one.
        workers, rank: those of `find_cluster`.
        members: what the runs of a family differ in; None for a single run.
        rehearsal: what to do instead, without a run; None to train.

    Returns:
        What the verb `train` returns, or the content of summary.json of a family, or what the verb
        `rehearse` returns.

    Raises:
        GateError: as `rehearse`.
        UserError: `folder` has something else, or a family is to be trained by several workers.
        DataError: the data is not prepared, or has changed since the start.
        DivergenceError, OutOfMemoryError, Interrupted: from one of the runs; the same command
            continues with it.
    """
    if rehearsal:
        return rehearse.rehearse(rehearsal, experiment)
    cluster = find_cluster(experiment, folder, workers, rank)
    if members is None:
        return train_run.train(experiment, folder, cluster=cluster)
    require_one_process(cluster)
    return _train_family(experiment, members, folder)


def format_report(summary: dict[str, Any] | FamilySummary) -> str:
    """Format the result of `train` as text."""
    if isinstance(summary, FamilySummary):
        return family_text.format_summary(summary)
    if "rehearsal" in summary:
        return rehearse.format_report(summary)
    run = shlex.quote(summary["run"])
    return f"{train_run.format_summary(summary)}\n\nnext: imgcls eval {run}"


def _train_family(experiment: Experiment, members: Members, folder: Path | None) -> FamilySummary:
    started = restart.get_start()
    family = _find_to_continue(experiment, members, folder)
    store = _open_store(experiment, family)
    data = _assign_splits(experiment, members, store)
    family = family or create_family(experiment, members, store.fingerprint, folder)
    with family.lock():
        _require_same_family(family, experiment, members)
        with remove_if_refused(family.folder, {family.experiment_file, family.record_file}):
            for number, of_member in zip(members.numbers, data, strict=True):
                _train_member(family, experiment, of_member, number, started)
    families.require_same_data(family)
    # Cross-validation is about the images that each run held out, so they are evaluated at once.
    out_of_fold = evaluate.evaluate_family(family, experiment) if members.by == "fold" else None
    summary = families.summarize_training(family, out_of_fold)
    write_record(family.summary_file, summary)
    return summary


def _find_to_continue(
    experiment: Experiment, members: Members, folder: Path | None
) -> Family | None:
    """Return the family to continue; None to start a new one."""
    if folder is None:
        return _find_unfinished(experiment, members)
    if not is_family(folder):
        require_new(folder, experiment)
        return None
    family = Family(folder)
    _require_same_family(family, experiment, members)
    return family


def _find_unfinished(experiment: Experiment, members: Members) -> Family | None:
    """Return the experiment's newest family, if it has these members and is not finished."""
    for family in find_families(experiment.name)[-1:]:
        with terminal.note_unusable():
            matches = family.members == members and _is_of(family, experiment)
            if matches and not _is_complete(family):
                terminal.note(f"continuing {family.folder}")
                return family
    return None


def _is_complete(family: Family) -> bool:
    """Return whether all runs are finished, and the summary, which comes last, is written."""
    finished = family.count_finished() == len(family.runs)
    return finished and os.path.lexists(family.summary_file)


def _is_of(family: Family, experiment: Experiment) -> bool:
    return family.experiment.identity() == experiment.identity()


def _require_same_family(family: Family, experiment: Experiment, members: Members) -> None:
    if family.members != members:
        raise UserError(
            f"--run {family.folder} is a family with other runs; continue it with"
            f" `{family.format_command()}`, or choose another folder"
        )
    resume.require_same_experiment(family.folder, family.experiment, experiment)


def _open_store(experiment: Experiment, family: Family | None) -> Store:
    """Return the store that all members share: of a family to continue, the one that it has."""
    if family is None:
        return lookup.find_store(experiment)[0]
    return lookup.open_store_of(
        experiment.data.name, family.record.fingerprint, experiment.data.store_dir
    )


def _assign_splits(experiment: Experiment, members: Members, store: Store) -> list[DataDescription]:
    """Return the data of each run, after assigning its split if that was not done.

    It is done before a family is created, so that no family is left that cannot be trained.
    """
    found = []
    for number in members.numbers:
        own = members.make_experiment(experiment, number)
        split = prepare.split_store(store, own)
        train_run.require_validation(own, split)
        found.append(store.describe(split))
    return found


def _train_member(
    family: Family, base: Experiment, data: DataDescription, number: int, started: float
) -> None:
    """Train one run of a family."""
    members = family.members
    index = members.numbers.index(number)
    run = family.runs[index]
    terminal.note(f"{members.by} {number} ({index + 1} of {len(members.numbers)}): {run.folder}")
    try:
        train_run.train(
            members.make_experiment(base, number), run.folder, data=data, started=started
        )
    except Interrupted as error:
        advice = f"the state is saved, continue with: {family.format_command()}"
        raise type(error)(f"{run.folder}: {error.reason}", advice) from None
