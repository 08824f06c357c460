"""Compares the section `tune` with the rest of its experiment, before a trial starts. Light zone.

Every end of a range and every choice is put into the experiment, which is then checked as a file
is. Values of several keys that do not go together are found when a trial combines them.
"""

import graphlib
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from imgcls import metrics, parts
from imgcls.config import Experiment
from imgcls.errors import UserError
from imgcls.experiment_problems import explain
from imgcls.io.yaml_file import Document, Location, Mark
from imgcls.train_config import NEUTRAL_SETTINGS
from imgcls.tune_config import SearchedKey, Tune
from imgcls.tuning import objective, space
from imgcls.tuning.space import Parameter, Values

Problem = tuple[Mark, str]
_SPACE: Location = ("tune", "space")
_UNTUNABLE = {
    "name": "it only names the runs",
    "seed": "the seed that happens to be best says nothing; see tune.seeds",
    "data": "all trials use one prepared store and one split",
    "evaluate": "it does not change the training",
    "figures": "it does not change the training",
    "explain": "it does not change the training",
    "compress": "it does not change the training",
    "tune": "it is the search itself",
    "extends": "it is about files",
}
"""The sections that cannot be searched, each with the reason."""


def find_problems(experiment: Experiment, tune: Tune, document: Document) -> list[Problem]:
    """Return the mistakes of the section `tune`, each with its mark.

    Args:
        document: the file, for the marks.
    """
    problems = [*_check_numbers(experiment, tune, document)]
    for key, settings in tune.space.items():
        problems += _check_key(key, settings, tune, document)
    if problems:
        return problems
    try:
        keys = space.sort_keys(tune)
    except graphlib.CycleError as error:
        names = " and ".join(dict.fromkeys(error.args[1]))
        return [(document.find_mark(_SPACE), f"tune.space: {names} depend on each other")]
    base = space.get_base(experiment)
    before: list[Parameter] = []
    for key in keys:
        parameter = Parameter(key, tune.space[key])
        problems += _check_values(base, parameter, before, tune, document)
        before.append(parameter)
    return problems or _check_grid(experiment, tune, document)


def _check_numbers(experiment: Experiment, tune: Tune, document: Document) -> Iterator[Problem]:
    """Check the names of the objectives and limits, and the directions."""
    try:
        goals = objective.list_goals(metrics.list_directions(experiment.evaluate.metrics))
    except UserError as error:
        yield document.find_mark(("evaluate", "metrics")), str(error)
        return
    for section, names in (("objective", tune.objective), ("limits", tune.limits)):
        for name in names:
            if name not in goals:
                yield (
                    document.find_mark(("tune", section, name), of_key=True),
                    f"tune.{section}: unknown name '{name}'; allowed: {', '.join(goals)}"
                    f"{parts.suggest(name, goals)}",
                )
    for name, goal in tune.objective.items():
        if goals.get(name, goal) != goal:
            yield (
                document.find_mark(("tune", "objective", name)),
                f"tune.objective: {name} is to {goal}, but is better when"
                f" {'higher' if goals[name] == 'maximize' else 'lower'}; give {goals[name]}",
            )


def _check_key(
    key: str, settings: SearchedKey, tune: Tune, document: Document
) -> Iterator[Problem]:
    """Check whether a key may be searched, and what its condition names."""
    mark = document.find_mark((*_SPACE, key), of_key=True)
    words = key.split(".")
    if not all(words):
        yield mark, f"tune.space: '{key}' is not a key such as train.batch_size"
    elif words[0] in _UNTUNABLE:
        yield mark, f"tune.space: {key} cannot be searched: {_UNTUNABLE[words[0]]}"
    elif words[0] == "train" and words[1:2] and words[1] in NEUTRAL_SETTINGS:
        yield mark, f"tune.space: {key} cannot be searched: it does not change the result"
    for condition in settings.when:
        if not space.list_ancestors("", SearchedKey(choices=[0, 1], when={condition: 0}), tune):
            yield (
                document.find_mark((*_SPACE, key, "when", condition), of_key=True),
                f"tune.space: {key}: when names {condition}, which is not searched; searched are:"
                f" {', '.join(tune.space)}{parts.suggest(condition, tune.space)}",
            )
    labels = [space.make_label(choice) for choice in settings.choices or []]
    for i, label in enumerate(labels):
        if label in labels[:i]:
            yield _find_choice(document, key, i), f"tune.space: {key}: lists {label} twice"


def _check_values(
    base: Values, parameter: Parameter, before: list[Parameter], tune: Tune, document: Document
) -> list[Problem]:
    """Check each end of a range, and each choice, wherever the key is searched."""
    key = parameter.key
    contexts = space.list_contexts(base, parameter, before, tune)
    if not contexts:
        mark = document.find_mark((*_SPACE, key, "when"))
        return [(mark, f"tune.space: {key} is never searched: its condition when never holds")]
    choices = parameter.settings.choices
    probes: list[tuple[Mark, Any]] = [
        (_find_choice(document, key, i), choice) for i, choice in enumerate(choices or [])
    ]
    if choices is None:
        probes = [
            (document.find_mark((*_SPACE, key, end)), getattr(parameter.settings, end))
            for end in ("low", "high")
        ]
        if any(space.takes_whole_numbers(context, parameter) for context in contexts):
            probes += _list_step_probes(parameter, document)
    found: dict[Problem, None] = {}
    for context in contexts:
        for mark, value in probes:
            key_mark = document.find_mark((*_SPACE, key), of_key=True)
            found |= dict.fromkeys(_validate(context, key, value, mark, key_mark))
    return list(found)


def _list_step_probes(parameter: Parameter, document: Document) -> list[tuple[Mark, Any]]:
    """Return the value after the first step of a range of whole numbers, if it is not one."""
    step = parameter.settings.step
    if step is None or step == int(step):
        return []
    mark = document.find_mark((*_SPACE, parameter.key, "step"))
    return [(mark, parameter.low + step)]


def _validate(
    context: Values, key: str, value: Any, mark: Mark, key_mark: Mark
) -> Iterator[Problem]:
    """Yield what is wrong with an experiment in which a key has a value.

    Args:
        mark: of the value.
        key_mark: of the key, which may not exist.
    """
    changed = space.set_value(context, key, value)
    try:
        Experiment.model_validate(changed)
    except ValidationError as error:
        shown = Document(changed, values={(): mark})
        for problem in error.errors(include_url=False):
            text = explain(problem, shown)[1]
            name = ".".join(map(str, problem["loc"]))
            if problem["type"] == "extra_forbidden" and f"{key}.".startswith(f"{name}."):
                yield key_mark, f"tune.space: {key}: {text}"
                continue
            yield mark, f"tune.space: {key}: {space.make_label(value)} is not valid: {text}"


def _check_grid(experiment: Experiment, tune: Tune, document: Document) -> list[Problem]:
    """Check that a grid has points, and not too many."""
    if not tune.sampler.has_end:
        return []
    found = space.make_space(experiment, tune)
    problems = [
        (
            document.find_mark((*_SPACE, parameter.key)),
            f"tune.space: {parameter.key} is a range without steps, of which sampler"
            f" {tune.sampler.name} cannot try all values; give a step, or a list of choices",
        )
        for parameter in found.parameters
        if parameter.list_grid() is None
    ]
    if not problems and found.count_points() > space.MAX_POINTS:
        text = f"tune.space: the grid has over {space.MAX_POINTS:,} points; give fewer values"
        return [(document.find_mark(_SPACE), text)]
    return problems


def _find_choice(document: Document, key: str, index: int) -> Mark:
    """Return the mark of a choice, in the short form or below `choices`."""
    short = (*_SPACE, key, index)
    location = short if short in document.values else (*_SPACE, key, "choices", index)
    return document.find_mark(location)
