"""The numbers that a search is about: their names, and where a trial has them. Light zone."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from imgcls.errors import DataError
from imgcls.io.records import Record, read_record
from imgcls.metrics import Direction
from imgcls.run import Run
from imgcls.training import history
from imgcls.training.model_description import read_description
from imgcls.tune_config import LOGGED, Goal

SECONDS = "seconds"
SIZES = ("parameters", "multiply_adds", "latency")
"""The numbers that `imgcls.tuning.measure` finds in the model of a run."""
ADVICE = "run the same command again"


class TrialCost(Record):
    """What the model of a trial costs."""

    parameters: Annotated[int, Field(ge=0)]
    """The number of its weights."""
    multiply_adds: Annotated[int, Field(ge=0)]
    """Of the convolutions and matrix products, for one image."""
    latency: Annotated[float, Field(ge=0)] | None
    """The median time for one image, in milliseconds; null if it was not asked for."""


def list_goals(directions: Mapping[str, Direction]) -> dict[str, Goal]:
    """Return every number that can be an objective or have a limit, with its better direction.

    Args:
        directions: of the metrics that the experiment evaluates.
    """
    costs: dict[str, Goal] = dict.fromkeys((*SIZES, SECONDS), "minimize")
    others: dict[str, Goal] = {
        name: "maximize" if better == "higher" else "minimize"
        for name, better in directions.items()
        if name not in LOGGED
    }
    return LOGGED | costs | others


def needs_evaluation(names: Sequence[str]) -> bool:
    """Return whether some numbers are metrics, for which a run is evaluated on validation."""
    return any(name not in (*LOGGED, *SIZES, SECONDS) for name in names)


def needs_model(names: Sequence[str]) -> bool:
    """Return whether some numbers are found in the model of a run."""
    return any(name in SIZES for name in names)


def read_number(name: str, runs: Sequence[Run], cost_file: Path) -> list[float]:
    """Return a number of each run of a trial; of the first run alone, if all have the same model.

    Args:
        cost_file: what `imgcls.tuning.measure` wrote.

    Raises:
        DataError: it is undefined, or a file is missing or damaged.
    """
    if name in SIZES:
        value = getattr(read_record(cost_file, TrialCost, ADVICE), name)
        values = [value]
    elif name in LOGGED:
        values = [_read_logged(name, run) for run in runs]
    elif name == SECONDS:
        values = [sum(epoch.seconds for epoch in run.log) for run in runs]
    else:
        values = [run.read_evaluation("validation").metrics.get(name) for run in runs]
    if None in values:
        raise DataError(f"{name} is undefined on the validation split")
    return [float(value) for value in values]


def _read_logged(name: str, run: Run) -> float | None:
    """Return a validation result of the weights that the run selected."""
    settings = run.experiment.train
    result: object = history.get_selected_epoch(history.read_complete_log(run), settings)
    if settings.select_weights == "soup":
        result = read_description(run.model_file).soup
    value: float | None = getattr(result, name)
    return value


def combine(values: Sequence[float], goal: Goal) -> tuple[float, float | None]:
    """Return the value of an objective over the runs of a trial, and their std.

    With several runs, the value is their mean, made worse by its standard error, so that of two
    equal means the more certain one wins; the std is None for one run.
    """
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, None
    std = statistics.stdev(values)
    error = std / len(values) ** 0.5
    return mean - error if goal == "maximize" else mean + error, std
