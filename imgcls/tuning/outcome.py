"""What becomes of a trial: its result, an early end, or a failure that is recorded. Light zone."""

import math
import statistics
from typing import TYPE_CHECKING

from imgcls.errors import (
    DataError,
    DivergenceError,
    OutOfMemoryError,
    UserError,
)
from imgcls.io.files import DISK_IS_FULL
from imgcls.tune_config import Limit
from imgcls.tuning import job as jobs
from imgcls.tuning import objective
from imgcls.tuning.job import Job
from imgcls.tuning.study import REASON, STDS, VALUES, OpenStudy

if TYPE_CHECKING:
    from optuna import Trial

_KINDS = {
    DivergenceError.exit_code: "diverged",
    OutOfMemoryError.exit_code: "out of memory",
}
"""What a failure is called by its exit code; others by their number."""


def list_options(opened: OpenStudy) -> list[str]:
    """Return the options of `imgcls train` by which a trial trains several runs."""
    if opened.tune.seeds:
        return ["--num-seeds", str(opened.tune.seeds)]
    return ["--folds", str(opened.tune.folds)] if opened.tune.folds else []


def should_prune(opened: OpenStudy, job: Job) -> bool:
    """Report the epochs that a trial has finished; return whether the pruner stops it.

    It watches the first run of a trial of several.
    """
    if opened.tune.pruner is None or job.is_pruned or job.commands[0][0] != "train":
        return False
    (name,) = opened.tune.objective
    try:
        log = [epoch for run in job.list_runs()[:1] for epoch in run.log]
    except DataError:
        return False  # the command itself will say so
    for epoch in log:
        value = getattr(epoch, name)
        if epoch.epoch not in job.reported and value is not None:
            job.reported.add(epoch.epoch)
            job.trial.report(value, epoch.epoch)
            if epoch.epoch < _count_epochs(job) and job.trial.should_prune():
                return True
    return False


def _count_epochs(job: Job) -> float:
    """Return the number of epochs of the training; after the last one, nothing is saved."""
    epochs = job.list_runs()[0].experiment.train.epochs
    return math.inf if epochs is None else epochs


def goes_on(job: Job, code: int) -> bool:
    """Return whether a command that was killed is started again: once, and whenever it progressed
    since.
    """
    if not jobs.is_interrupted(code):
        return False
    job.interruptions = 0 if job.has_progressed() else job.interruptions + 1
    return job.interruptions < 2


def require_no_general_failure(opened: OpenStudy, job: Job, code: int) -> None:
    """Check that a failure is one of this trial: without data or disk, all others would fail too.

    Raises:
        UserError: it is not. The trial goes on when the study does.
    """
    reason = job.read_reason()
    advice = f"trial {job.number} cannot go on: {reason}"
    if code == DataError.exit_code:
        raise DataError(advice)
    if DISK_IS_FULL in reason:
        raise UserError(advice)
    if job.number == 0 and code not in _KINDS and not jobs.is_interrupted(code):
        raise UserError(
            f"the experiment's own values, trial 0, cannot be trained ({jobs.describe_exit(code)}):"
            f" {reason}; see {job.folder.trial_log(0)}"
        )


def tell_failed_exit(opened: OpenStudy, job: Job, code: int) -> None:
    """Record that a command of a trial failed."""
    kind = _KINDS.get(code, jobs.describe_exit(code))
    tell_failure(opened, job.trial, f"{kind}: {job.read_reason()}")


def tell_failure(opened: OpenStudy, trial: "Trial", reason: str) -> None:
    """Record a failed trial, with the reason."""
    from optuna.trial import TrialState

    trial.set_user_attr(REASON, reason)
    opened.study.tell(trial, state=TrialState.FAIL)


def tell_pruned(opened: OpenStudy, job: Job) -> None:
    """Record a trial that the pruner stopped."""
    from optuna.trial import TrialState

    job.trial.set_user_attr(REASON, f"pruned after epoch {max(job.reported)}")
    opened.study.tell(job.trial, state=TrialState.PRUNED)


def tell_result(opened: OpenStudy, job: Job) -> None:
    """Record the values of a trial; a number that is undefined makes it a failure.

    Raises:
        DataError: it was trained on other data than the rest of the study.
    """
    trial, tune = job.trial, opened.tune
    _require_same_data(opened, job)
    cost_file = opened.folder.cost_file(job.number)
    try:
        found = {
            name: objective.read_number(name, job.list_runs(), cost_file)
            for name in [*tune.objective, *tune.limits]
        }
    except DataError as error:
        tell_failure(opened, trial, str(error))
        return
    combined = {name: objective.combine(found[name], goal) for name, goal in tune.objective.items()}
    trial.set_user_attr(VALUES, found)
    trial.set_user_attr(STDS, {name: std for name, (_, std) in combined.items()})
    for name, limit in tune.limits.items():
        _set_constraints(trial, name, limit, statistics.fmean(found[name]))
    opened.study.tell(trial, [value for value, _ in combined.values()])


def _require_same_data(opened: OpenStudy, job: Job) -> None:
    """Check that a trial was trained on the data of the study, which may be prepared again.

    Raises:
        DataError: it was not.
    """
    for run in job.list_runs():
        found = run.data
        if found.fingerprint != opened.data.fingerprint:
            raise DataError(
                f"trial {job.number} was trained on other data, of fingerprint"
                f" {found.fingerprint[:12]} instead of {opened.data.fingerprint[:12]}, which was"
                " prepared since the study was started; prepare the old data again, remove"
                f" {job.run_folder}, and run the same command again"
            )


def _set_constraints(trial: "Trial", name: str, limit: Limit, value: float) -> None:
    """Let Optuna know by how much a number is over its limits."""
    if limit.at_most is not None:
        trial.set_constraint(f"{name} at_most", value - limit.at_most)
    if limit.at_least is not None:
        trial.set_constraint(f"{name} at_least", limit.at_least - value)
