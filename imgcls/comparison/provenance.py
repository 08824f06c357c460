"""How candidates differ in settings, environment, data and models. Light zone."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from imgcls.comparison.candidate import Candidate, PredictedCandidate
from imgcls.comparison.record import ModelProperties, SettingDifference
from imgcls.environment import Runtime
from imgcls.environment_variables import select_bit_changing
from imgcls.errors import DataError
from imgcls.experiment_file import flatten
from imgcls.io import terminal
from imgcls.run import Run
from imgcls.training import history
from imgcls.training.model_weights import count_parameters

_ENVIRONMENT = {"git", "host", "platform", "devices", *Runtime.model_fields}
_DATA = {"dataset", "fingerprint", "split", "split_sha256", "shape", "sizes"}


def compare_settings(candidates: Sequence[Candidate]) -> list[SettingDifference]:
    """Return the settings that differ, defaults included."""
    return _compare(candidates, lambda run: run.experiment.model_dump())


def compare_environments(candidates: Sequence[Candidate]) -> list[SettingDifference] | None:
    """Return what differs in versions, devices and variables; None, with a note, if a record of
    them is damaged.
    """
    try:
        return _compare(candidates, _describe_environment)
    except DataError as error:
        terminal.note(f"environments are not compared: {error}")
        return None


def _describe_environment(run: Run) -> dict[str, Any]:
    """Return the environment of a run, without variables that cannot change a result."""
    found = run.environment.model_dump(include=_ENVIRONMENT)
    return found | {"variables": select_bit_changing(found["variables"])}


def compare_data(candidates: Sequence[Candidate]) -> list[SettingDifference]:
    """Return what differs in the data and the split."""
    return _compare(candidates, lambda run: run.data.model_dump(mode="json", include=_DATA))


def _compare(
    candidates: Sequence[Candidate], describe: Callable[[Run], dict[str, Any]]
) -> list[SettingDifference]:
    columns = [_merge([flatten(describe(run)) for run in each.runs]) for each in candidates]
    rows = {
        key: [column.get(key) for column in columns]
        for key in dict.fromkeys(key for column in columns for key in column)
    }
    return [
        SettingDifference(key=key, values=values)
        for key, values in rows.items()
        if any(value != values[0] for value in values)
    ]


def _merge(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the value of each key; a list if the rows of a family differ in it."""
    merged = {}
    for key in dict.fromkeys(key for row in rows for key in row):
        values = [row.get(key) for row in rows]
        merged[key] = values[0] if all(value == values[0] for value in values) else values
    return merged


def describe_models(predicted: PredictedCandidate) -> ModelProperties:
    """Return the size and training of a candidate's model.

    Raises:
        DataError: the log of a run is missing or damaged.
    """
    candidate = predicted.candidate
    temperatures = [each.temperature for each in predicted.predictions if each.temperature]
    logs = [history.read_complete_log(run) for run in candidate.runs]
    selected = [
        history.find_selected_epoch(log, run.experiment.train)
        for log, run in zip(logs, candidate.runs, strict=True)
    ]
    return ModelProperties(
        parameters=_count_parameters(candidate.runs[0]),
        model_bytes=statistics.fmean(run.model_file.stat().st_size for run in candidate.runs),
        temperature=statistics.fmean(temperatures) if temperatures else None,
        epochs=statistics.fmean(map(len, logs)),
        selected_epoch=statistics.fmean(selected),
        seconds=statistics.fmean(sum(epoch.seconds for epoch in log) for log in logs),
    )


def _count_parameters(run: Run) -> int | None:
    if run.model_file != run.keras_file:
        return None  # LiteRT's
    try:
        return count_parameters(run.model_file)
    except DataError as error:
        terminal.note(f"parameters are not counted: {error}")
        return None
