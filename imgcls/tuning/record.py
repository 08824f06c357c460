"""The record in study.json: the trials of a search, and which are the best. Light zone."""

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from imgcls.io.records import Record
from imgcls.tune_config import Goal

State = Literal["finished", "pruned", "failed", "running"]


class SearchedRange(Record):
    """A key that is searched, for figures."""

    key: str
    """The key, as `--set` takes it."""
    low: float | None
    """The lower end of its range; null for choices."""
    high: float | None
    """The upper end of its range; null for choices."""
    log: bool
    """Whether its logarithm is uniform."""
    choices: list[str]
    """Its choices as text; empty for a range."""


class TrialRecord(Record):
    """A trial."""

    number: Annotated[int, Field(ge=0)]
    """Its number, from 0, which are the file's own values."""
    state: State
    """finished, pruned, failed or running."""
    parameters: dict[str, JsonValue]
    """The values of the searched keys, choices as text; without those that its condition excludes,
    and those of the file that the space does not have."""
    values: dict[str, float]
    """The objectives by name; of several runs, the mean made worse by its standard error."""
    runs: dict[str, list[float]]
    """The objectives and limits of each of its runs, by name."""
    stds: dict[str, float | None]
    """The std of the objectives over its runs, by name; null for one run."""
    is_allowed: bool
    """Whether it keeps the limits."""
    epochs: list[Annotated[tuple[int, float], Field(strict=False)]]
    """The epochs that the pruner saw, each with the value of the objective."""
    seconds: float | None
    """How long it took in the command that ended it, its start included; null while it runs."""
    reason: str
    """Why it was pruned or failed; else empty."""


class Confirmation(Record):
    """The best trial and the file's own values, trained on other seeds and tested once."""

    own: str
    """The folder of the family with the file's own values."""
    best: str
    """The folder of the family with the values of the best trial."""
    trial: int
    """The number of the best trial."""
    seeds: list[int]
    """The seeds of both families, none of which the search used."""
    own_accuracy: float | None
    """The mean accuracy on the test split with the file's own values."""
    best_accuracy: float | None
    """The mean accuracy on the test split with those of the best trial."""
    sentence: str
    """What may be concluded from the difference."""
    comparison: str
    """The folder of the comparison."""


class StudyRecord(Record):
    """A search, as far as it has come."""

    study: str
    """The folder of the study."""
    experiment: str
    """The name of the experiment."""
    objective: dict[str, Goal]
    """What is searched for, and the direction."""
    sampler: str
    """What proposes values."""
    pruner: str | None
    """What stops bad trials early; null if nothing does."""
    optuna: str
    """The version of Optuna."""
    wanted: int | None
    """The number of trials to do; null if only the time is limited."""
    seconds: float
    """The time of all commands together that worked on it."""
    is_finished: bool
    """Whether nothing was left to do when the last command ended."""
    space: list[SearchedRange]
    """The keys that are searched."""
    trials: list[TrialRecord]
    """The trials, by number."""
    best: list[int]
    """The number of the best trial; with two objectives, of those that no other is better than in
    both. Empty before a trial is finished that keeps the limits."""
    importances: dict[str, float]
    """How much of the difference between good trials and others is due to each key, by PED-ANOVA,
    summing to 1; empty while there are too few trials."""
    confirmation: Confirmation | None
    """The result of `--confirm`; null before."""


def find_best(trials: list[TrialRecord], objective: dict[str, Goal]) -> list[int]:
    """Return the numbers of the best trials: those that no other one is better than.

    Of trials with equal values, the earliest counts. A trial that does not keep the limits, was
    pruned or failed is none of them.
    """
    candidates = [each for each in trials if each.state == "finished" and each.is_allowed]
    scores = {each.number: _score(each, objective) for each in candidates}
    return [
        number
        for number, score in scores.items()
        if not any(
            _is_better(other, score) or (other == score and earlier < number)
            for earlier, other in scores.items()
        )
    ]


def _score(trial: TrialRecord, objective: dict[str, Goal]) -> tuple[float, ...]:
    """Return the objectives of a trial, each so that higher is better."""
    return tuple(
        trial.values[name] if goal == "maximize" else -trial.values[name]
        for name, goal in objective.items()
    )


def _is_better(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    pairs = list(zip(one, other, strict=True))
    return all(a >= b for a, b in pairs) and any(a > b for a, b in pairs)
