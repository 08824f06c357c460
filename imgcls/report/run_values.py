"""What `imgcls runs` sorts, filters and shows: settings, metrics, properties of runs. Light zone.

Every value has a name: `train.batch_size` and the like for settings, `test.macro_f1` for metrics of
a split, and `date`, `seconds`, `dataset`, `model` and `parameters`.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imgcls.config import Experiment
from imgcls.datasets import SPLITS
from imgcls.errors import UserError
from imgcls.evaluation import families
from imgcls.family import Family
from imgcls.parts import suggest
from imgcls.run import Run

Values = dict[str, Any]
"""Numbers and texts by name."""

SETTINGS = ""
"""The name of the list of all names of settings, which no value has."""

_CONDITION = re.compile(r"\s*([^\s<>=!]+)\s*(<=|>=|!=|=|<|>)\s*(.*?)\s*")


@dataclass(frozen=True)
class RunFilter:
    """A condition on a value: `name operator text`."""

    name: str
    operator: str
    text: str

    def matches(self, value: Any) -> bool:
        """Tell whether a value meets the condition; None, for no value, meets none."""
        if value is None:
            return False
        number, wanted = _to_number(value), _to_number(self.text)
        if number is not None and wanted is not None:
            return _compare(number, wanted, self.operator)
        return _compare(_to_text(value), self.text, self.operator)


def parse_filter(text: str) -> RunFilter:
    """Return the condition that a text such as `test.accuracy>=0.9` states.

    Raises:
        UserError: it states none.
    """
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UserError(
            f"--where {text}: needs a name, one of =, !=, <, <=, >, >= and a value, such as"
            " 'test.accuracy>=0.9' or model=cnn"
        )
    return RunFilter(*match.groups())


def _compare(one: Any, other: Any, operator: str) -> bool:
    results = {
        "=": one == other,
        "!=": one != other,
        "<": one < other,
        "<=": one <= other,
        ">": one > other,
        ">=": one >= other,
    }
    return bool(results[operator])


def _to_number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _to_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_values(run: Run) -> Values:
    """Return all values of a run.

    Raises:
        DataError: a file of the run is damaged.
    """
    values = read_settings(run.experiment)
    for split in SPLITS:
        if os.path.lexists(run.metrics_file(split)):
            metrics = run.read_evaluation(split).metrics
            values |= {f"{split}.{name}": value for name, value in metrics.items()}
        if os.path.lexists(run.robustness_file(split)):
            found = run.read_robustness(split).metrics
            values |= {f"{split}.{name}": value for name, value in found.items()}
    log = run.log
    if log:
        values["seconds"] = sum(each.seconds for each in log)
        values["parameters"] = max(each.trained_parameters for each in log)
    if os.path.lexists(run.environment_file):
        values["date"] = run.environment.started
    return values


def read_family_values(family: Family) -> Values:
    """Return the settings of a family, and the means of its metrics.

    Raises:
        DataError: a file of the family is damaged.
    """
    values = read_settings(family.experiment)
    for split in families.list_evaluated_splits(family):
        found = families.read_evaluation(family, split)
        values |= {f"{split}.{name}": mean for name, mean in found.metrics.items()}
    return values


def read_settings(experiment: Experiment) -> Values:
    """Return all settings by their keys, and the names of data set and model."""
    settings = dict(_iterate_settings(experiment.model_dump(exclude={"name"}), ""))
    named = {"dataset": experiment.data.name, "model": experiment.model.name}
    return {**named, **settings, SETTINGS: list(settings)}


def _iterate_settings(value: Any, key: str) -> Iterable[tuple[str, Any]]:
    """Yield the settings in a mapping or a list, with dots between keys and indices."""
    if isinstance(value, Mapping):
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list) and value:
        items = enumerate(value)
    else:
        yield key, ", ".join(map(str, value)) if isinstance(value, list) else value
        return
    for name, inner in items:
        yield from _iterate_settings(inner, f"{key}.{name}" if key else str(name))


def list_differing(values: Sequence[Values]) -> list[str]:
    """Return the names of settings that differ between runs, apart from the experiment's name."""
    names = dict.fromkeys(name for each in values for name in each.get(SETTINGS, []))
    return [name for name in names if len({str(each.get(name)) for each in values}) > 1]


def require_known(names: Iterable[str], values: Sequence[Mapping[str, Any]]) -> None:
    """Check that some run has a value of each name.

    Raises:
        UserError: none has, with the nearest name.
    """
    known = {name for each in values for name in each}
    for name in names:
        if name not in known:
            raise UserError(
                f"no run has a value '{name}'{suggest(name, sorted(known))}; settings are named"
                " as in the experiment (train.batch_size), metrics by their split"
                " (test.macro_f1); others are date, seconds, dataset, model, parameters"
            )


def make_sort_key(value: Any) -> tuple[int, float, str]:
    """Return what a value is sorted by: numbers first, then texts, and no value last."""
    number = _to_number(value)
    if value is None:
        return 2, 0.0, ""
    return (0, number, "") if number is not None else (1, 0.0, _to_text(value))
