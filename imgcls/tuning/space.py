"""The space of a search: its parameters, and what a choice of their values makes of an experiment.
Light zone.
"""

import copy
import graphlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import ValidationError

from imgcls import parts
from imgcls.config import Experiment
from imgcls.experiment_file import merge_values
from imgcls.tune_config import SearchedKey, Tune

Values = dict[str, Any]
"""A resolved experiment, as nested mappings and lists."""
MAX_POINTS = 10_000
"""The most points of a grid."""


@dataclass(frozen=True)
class Parameter:
    """A key that is searched.

    Attributes:
        key: with dots, as `--set` takes it.
        is_whole: whether a range has whole numbers only.
    """

    key: str
    settings: SearchedKey
    is_whole: bool = False

    @cached_property
    def labels(self) -> list[str]:
        """What Optuna, tables and figures call the choices; empty for a range."""
        return [make_label(choice) for choice in self.settings.choices or []]

    @property
    def low(self) -> float:
        """The lower end of a range."""
        return self.settings.low or 0

    @property
    def high(self) -> float:
        """The upper end of a range."""
        return self.settings.high or 0

    @property
    def step(self) -> float | None:
        """The distance between neighboring values of a range; None for any value."""
        return self.settings.step or (1 if self.is_whole and not self.settings.log else None)

    def get_value(self, proposed: Any) -> Any:
        """Return the value of the key that a proposal means: a number, or the label of a choice."""
        if self.settings.choices is None:
            return proposed
        return self.settings.choices[self.labels.index(proposed)]

    def list_grid(self) -> list[Any] | None:
        """Return all proposals for this key; None if they are not countable."""
        if self.settings.choices is not None:
            return list(self.labels)
        step = self.step or (1 if self.is_whole else None)
        if step is None:
            return None
        count = round((self.high - self.low) / step) + 1
        return [self.low + i * step for i in range(count)]

    def is_active(self, values: Values) -> bool:
        """Return whether the condition of the key holds in an experiment."""
        for key, wanted in self.settings.when.items():
            allowed = wanted if isinstance(wanted, list) else [wanted]
            if find_value(values, key) not in allowed:
                return False
        return True

    def contains(self, number: Any) -> bool:
        """Return whether a number is one that the range proposes."""
        if isinstance(number, bool) or not isinstance(number, int | float):
            return False
        if not self.low <= number <= self.high:
            return False
        steps = (number - self.low) / self.step if self.step else 0
        return abs(steps - round(steps)) < 1e-9


def make_label(choice: Any) -> str:
    """Return the text of a choice: JSON, but for text."""
    return choice if isinstance(choice, str) else json.dumps(choice)


def set_value(values: Values, key: str, value: Any) -> Values:
    """Return an experiment with another value of a key, merged as `--set` does."""
    nested = copy.deepcopy(value)
    for each in reversed(key.split(".")):
        nested = {each: nested}
    merged: Values = merge_values(values, nested)
    return merged


def find_value(values: Any, key: str) -> Any:
    """Return the value of a key in an experiment; None if it has none."""
    for each in key.split("."):
        values = parts.expand_name(values)
        if isinstance(values, dict):
            values = values.get(each)
        elif isinstance(values, list) and each.isdecimal() and int(each) < len(values):
            values = values[int(each)]
        else:
            return None
    return values


def resolve(values: Values) -> Values | None:
    """Return an experiment with all defaults; None if it is not valid."""
    try:
        return Experiment.model_validate(values).model_dump()
    except ValidationError:
        return None


def get_base(experiment: Experiment) -> Values:
    """Return the experiment that a search changes: all but the search itself, resolved."""
    return experiment.model_dump() | {"tune": None}


@dataclass(frozen=True)
class SearchSpace:
    """All parameters of a search.

    Attributes:
        base: the file's own experiment.
        parameters: sorted so that each comes after those that it depends on.
    """

    base: Values
    parameters: tuple[Parameter, ...]

    def choose(self, propose: Callable[[Parameter], Any]) -> dict[str, Any]:
        """Return a proposal for each key that is active, which `propose` is asked for in order."""
        values, proposals = self.base, {}
        for parameter in self.parameters:
            if parameter.is_active(values):
                proposals[parameter.key] = propose(parameter)
                value = parameter.get_value(proposals[parameter.key])
                values = set_value(values, parameter.key, value)
        return proposals

    def apply(self, proposals: Mapping[str, Any]) -> Experiment:
        """Return the experiment of a trial.

        Raises:
            ValidationError: the values do not go together.
        """
        values = self.base
        for parameter in self.parameters:
            if parameter.key in proposals:
                value = parameter.get_value(proposals[parameter.key])
                values = set_value(values, parameter.key, value)
        return Experiment.model_validate(values)

    @cached_property
    def own(self) -> dict[str, Any]:
        """The file's own values, where the space has them, as proposals."""
        found = {}
        for parameter in self.parameters:
            if not parameter.is_active(self.base):
                continue
            proposal = self._find_own(parameter)
            if proposal is not None:
                found[parameter.key] = proposal
        return found

    def _find_own(self, parameter: Parameter) -> Any:
        if parameter.settings.choices is None:
            number = find_value(self.base, parameter.key)
            return number if parameter.contains(number) else None
        for label, choice in zip(parameter.labels, parameter.settings.choices, strict=True):
            if resolve(set_value(self.base, parameter.key, choice)) == self.base:
                return label
        return None

    def list_points(self) -> list[dict[str, Any]]:
        """Return every combination of the values of all keys, as proposals."""
        points: list[dict[str, Any]] = []
        waiting: list[tuple[int, Values, dict[str, Any]]] = [(0, self.base, {})]
        while waiting:
            index, values, chosen = waiting.pop()
            if index == len(self.parameters):
                points.append(chosen)
                continue
            parameter = self.parameters[index]
            if not parameter.is_active(values):
                waiting.append((index + 1, values, chosen))
                continue
            for proposal in reversed(parameter.list_grid() or []):
                changed = set_value(values, parameter.key, parameter.get_value(proposal))
                waiting.append((index + 1, changed, {**chosen, parameter.key: proposal}))
        return points

    def count_points(self) -> int:
        """Return an upper bound of the number of points, at most `MAX_POINTS` + 1."""
        sizes = (len(parameter.list_grid() or []) for parameter in self.parameters)
        products = itertools.accumulate(sizes, lambda one, other: one * max(other, 1), initial=1)
        return min(max(products), MAX_POINTS + 1)


def sort_keys(tune: Tune) -> list[str]:
    """Return the searched keys, each after those that it depends on: sections that it is in, and
    keys of its condition.

    Raises:
        graphlib.CycleError: keys depend on each other.
    """
    sorter: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for key, settings in tune.space.items():
        sorter.add(key, *list_ancestors(key, settings, tune))
    return list(sorter.static_order())


def list_ancestors(key: str, settings: SearchedKey, tune: Tune) -> list[str]:
    """Return the searched keys that one depends on."""
    return [
        other
        for other in tune.space
        if other != key
        and (_is_in(key, other) or any(_is_in(condition, other) for condition in settings.when))
    ]


def _is_in(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")


def make_space(experiment: Experiment, tune: Tune) -> SearchSpace:
    """Return the space of an experiment that `space_check` has found to be valid."""
    base = get_base(experiment)
    found: list[Parameter] = []
    for key in sort_keys(tune):
        parameter = Parameter(key, tune.space[key])
        contexts = list_contexts(base, parameter, found, tune)
        is_whole = any(takes_whole_numbers(context, parameter) for context in contexts)
        found.append(Parameter(key, tune.space[key], is_whole))
    return SearchSpace(base, tuple(found))


def takes_whole_numbers(context: Values, parameter: Parameter) -> bool:
    """Return whether a key takes the ends of its range, but no number between two whole ones."""
    low, high = parameter.settings.low, parameter.settings.high
    if not isinstance(low, int) or not isinstance(high, int):
        return False
    ends = resolve(set_value(context, parameter.key, low))
    between = resolve(set_value(context, parameter.key, low + 0.5))
    return ends is not None and between is None


def list_contexts(
    base: Values, parameter: Parameter, others: list[Parameter], tune: Tune
) -> list[Values]:
    """Return experiments in which a key is searched, one for each way to get there.

    Args:
        others: those that come before it.
    """
    needed = set(list_ancestors(parameter.key, parameter.settings, tune))
    for other in reversed(others):
        if other.key in needed:
            needed |= set(list_ancestors(other.key, other.settings, tune))
    contexts = [base]
    for other in others:
        if other.key in needed:
            contexts = [each for context in contexts for each in _vary(context, other)]
    return [each for each in contexts if parameter.is_active(each) and resolve(each) is not None]


def _vary(context: Values, parameter: Parameter) -> Iterator[Values]:
    """Yield an experiment for each choice of a key, or the lower end of its range."""
    if not parameter.is_active(context):
        yield context
        return
    choices = parameter.settings.choices
    for value in choices if choices is not None else [parameter.settings.low]:
        yield set_value(context, parameter.key, value)
