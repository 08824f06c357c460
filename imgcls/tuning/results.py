"""From the study in its database to study.json and best.yaml. Light zone."""

import math
import os
from typing import TYPE_CHECKING, Any

from imgcls.io import files
from imgcls.io.records import read_record, write_record
from imgcls.tune_config import Tune
from imgcls.tuning.folder import StudyFolder
from imgcls.tuning.objective import ADVICE
from imgcls.tuning.record import (
    Confirmation,
    SearchedRange,
    State,
    StudyRecord,
    TrialRecord,
    find_best,
)
from imgcls.tuning.study import REASON, STDS, TIME, VALUES, OpenStudy

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_STATES: dict[str, State] = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed"}
_LEAST_TRIALS = 10
"""Finished trials from which importances mean something."""


def make_record(opened: OpenStudy, seconds: float, is_end: bool = False) -> StudyRecord:
    """Return the record of a study.

    Args:
        seconds: that all commands worked on it.
        is_end: whether nothing is left to do, so that importances are computed too.
    """
    trials = [_make_trial(each, opened) for each in opened.list_trials()]
    tune = opened.tune
    record = StudyRecord(
        study=str(opened.folder.folder),
        experiment=opened.experiment.name,
        objective=tune.objective,
        sampler=tune.sampler.name,
        pruner=tune.pruner.name if tune.pruner else None,
        optuna=_get_version(),
        wanted=opened.count,
        seconds=round(seconds, 1),
        is_finished=is_end,
        space=[
            SearchedRange(
                key=each.key,
                low=None if each.labels else float(each.low),
                high=None if each.labels else float(each.high),
                log=each.settings.log,
                choices=each.labels,
            )
            for each in opened.space.parameters
        ],
        trials=trials,
        best=find_best(trials, tune.objective),
        importances=_compute_importances(opened) if is_end else {},
        confirmation=None,
    )
    found = _read_confirmation(opened)
    if found and record.best and found.trial == find_first(record).number:
        return record.model_copy(update={"confirmation": found})
    return record


def _get_version() -> str:
    import optuna

    return optuna.__version__


def _make_trial(frozen: "FrozenTrial", opened: OpenStudy) -> TrialRecord:
    state = _STATES.get(frozen.state.name, "running")
    attributes: dict[str, Any] = frozen.user_attrs
    names = list(opened.tune.objective)
    values = frozen.values if state == "finished" else None
    return TrialRecord(
        number=frozen.number,
        state=state,
        parameters=frozen.params,
        values=dict(zip(names, values or [], strict=False)),
        runs=attributes.get(VALUES, {}),
        stds=attributes.get(STDS, {}),
        is_allowed=all(value <= 0 for value in frozen.constraints.values()),
        epochs=[
            (epoch, value)
            for epoch, value in sorted(frozen.intermediate_values.items())
            if math.isfinite(value)
        ],
        seconds=attributes.get(TIME),
        reason=attributes.get(REASON, ""),
    )


def _compute_importances(opened: OpenStudy) -> dict[str, float]:
    """Return the importance of each key for the first objective; empty with too few trials."""
    import warnings

    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import TrialState

    finished = opened.study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(finished) < _LEAST_TRIALS or len({tuple(each.values) for each in finished}) < 2:
        return {}
    goal = next(iter(opened.tune.objective.values()))
    sign = -1.0 if goal == "maximize" else 1.0  # the evaluator takes lower values as better
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a target is to be minimized
        found = get_param_importances(
            opened.study,
            evaluator=PedAnovaImportanceEvaluator(),
            target=lambda trial: sign * trial.values[0],
        )
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _read_confirmation(opened: OpenStudy) -> Confirmation | None:
    """Return the confirmation that study.json has, of whatever was the best trial then."""
    path = opened.folder.record_file
    if not os.path.lexists(path):
        return None
    return read_record(path, StudyRecord, f"remove it, and {ADVICE}").confirmation


def is_complete(folder: StudyFolder, tune: Tune) -> bool:
    """Return whether a study has ended, and has all the trials that are asked for now.

    Raises:
        DataError: study.json is damaged.
    """
    path = folder.record_file
    if not os.path.lexists(path):
        return False
    record = read_record(path, StudyRecord, f"remove it, and {ADVICE}")
    more = tune.trials is not None and not tune.sampler.has_end and tune.trials > len(record.trials)
    return record.is_finished and not more


def write_results(opened: OpenStudy, record: StudyRecord) -> None:
    """Write study.json, and best.yaml once a trial is finished that keeps the limits.

    With two objectives, best.yaml is the trial of the front that is best in the first one.

    Raises:
        UserError: a file cannot be written.
    """
    write_record(opened.folder.record_file, record)
    if record.best:
        files.write_text(opened.folder.best_file, _format_best(opened, record))


def find_first(record: StudyRecord) -> TrialRecord:
    """Return the best trial, or of a front the one that is best in the first objective."""
    name, goal = next(iter(record.objective.items()))
    sign = 1 if goal == "maximize" else -1
    front = [each for each in record.trials if each.number in record.best]
    return max(front, key=lambda trial: (sign * trial.values[name], -trial.number))


def _format_best(opened: OpenStudy, record: StudyRecord) -> str:
    """Return the experiment of the best trial as YAML, below a comment on where it is from."""
    best = find_first(record)
    finished = sum(each.state == "finished" for each in record.trials)
    values = ", ".join(f"{name} {value:.6g}" for name, value in best.values.items())
    text = opened.space.apply(best.parameters).to_yaml()
    return (
        f"# Trial {best.number} of {record.study}: {values} on the validation split.\n"
        f"# The best of {finished} finished trials on that split, so that it looks better than it"
        " is;\n# imgcls tune --confirm 5 tells by how much.\n"
        f"{text}"
    )
