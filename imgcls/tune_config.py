"""The section `tune` of an experiment file: what `imgcls tune` searches, and how. Light zone.

imgcls/tuning/space_check.py compares the space with the rest of the experiment.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, field_validator, model_validator

from imgcls.durations import Duration, DurationIn
from imgcls.parts import PartOf, PartSettings, Section
from imgcls.samplers import SamplerSettings

Goal = Literal["maximize", "minimize"]
LOGGED: dict[str, Goal] = {"val_accuracy": "maximize", "val_loss": "minimize"}
"""The objectives that the log of a run has after each epoch, with their better direction."""
SAMPLER = PartOf("samplers", default="tpe")
_ONE_OR_TWO: dict[str, JsonValue] = {"minProperties": 1, "maxProperties": 2}


class SearchedKey(Section):
    """The values of a key that are tried: a range, or a list of choices."""

    low: int | float | None = None
    """The lower end of a range; it is of whole numbers if the key takes no others."""
    high: int | float | None = None
    """The upper end, which is included."""
    log: bool = False
    """Whether the logarithm is uniform, for numbers such as learning rates."""
    step: Annotated[int | float, Field(gt=0)] | None = None
    """The distance between neighboring values. Any value between low and high unless given."""
    choices: list[Any] | None = None
    """Whole values, sections and lists included. A section is merged into that of the file as one
    of `--set` is. A list in place of the mapping means choices."""
    when: dict[str, Any] = {}
    """Other keys, each with the value, or the list of values, with which this one is searched;
    always unless given."""

    @model_validator(mode="after")
    def _check_form(self) -> "SearchedKey":
        if self.choices is not None:
            named = [name for name in ("low", "high", "step") if getattr(self, name) is not None]
            if named or self.log:
                raise ValueError("has choices and a range; give one of them")
            if len(self.choices) < 2:
                raise ValueError(f"has {len(self.choices)} of the choices; give at least two")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs low and high, or a list of choices")
        if not self.low < self.high:
            raise ValueError(f"is an empty range: low is {self.low}, and high is {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"has log: true, but low is {self.low}; give a number above 0")
        if self.log and self.step is not None:
            raise ValueError("has log: true and a step; give one of them")
        if self.step is not None and not _is_whole((self.high - self.low) / self.step):
            raise ValueError(
                f"does not reach high, {self.high}, in steps of step, {self.step}, from low,"
                f" {self.low}; change one of them"
            )
        return self


def _is_whole(number: float) -> bool:
    return abs(number - round(number)) < 1e-9 and round(number) >= 1


def _expand_choices(value: Any) -> Any:
    return {"choices": value} if isinstance(value, list) else value


_SHORT_FORM = BeforeValidator(
    _expand_choices,
    json_schema_input_type=SearchedKey | Annotated[list[Any], Field(min_length=2)],
)


class Limit(Section):
    """What a trial must keep to be the best one."""

    at_most: float | None = None
    """The largest value allowed; none unless given."""
    at_least: float | None = None
    """The smallest value allowed; none unless given."""

    @model_validator(mode="after")
    def _check_ends(self) -> "Limit":
        if self.at_most is None and self.at_least is None:
            raise ValueError("needs at_most or at_least")
        return self


class Tune(Section):
    """The search of `imgcls tune`."""

    space: Annotated[dict[str, Annotated[SearchedKey, _SHORT_FORM]], Field(min_length=1)]
    """The keys that are searched, as `--set` takes them, such as train.optimizer.learning_rate,
    each with a range or a list of choices."""
    objective: Annotated[dict[str, Goal], Field(json_schema_extra=_ONE_OR_TWO)] = {
        "val_accuracy": "maximize"
    }
    """What is searched for: val_accuracy or val_loss of the selected epoch, a metric of `eval` on
    the validation split, parameters, multiply_adds, latency (ms for one image), or seconds of
    training. Two give a Pareto front."""
    limits: dict[str, Limit] = {}
    """Limits on the same numbers, which the best trial must keep. None unless given."""
    trials: Annotated[int, Field(ge=1)] | None = None
    """The number of trials, with the file's own values, which are trial 0. No limit unless given.
    """
    budget: Annotated[Duration, DurationIn("s", "m", "h")] | None = None
    """The time of all commands together that work on the search, such as 2h. No trial starts that
    would probably not end within it. No limit unless given."""
    sampler: Annotated[SamplerSettings, SAMPLER] = Field(default_factory=SAMPLER.make_default)
    """What proposes values: a file of imgcls/samplers."""
    pruner: Annotated[PartSettings, PartOf("pruners")] | None = None
    """What stops bad trials early: a file of imgcls/pruners. None unless given."""
    seeds: Annotated[int, Field(ge=2)] | None = None
    """Runs of each trial, with seeds from the experiment's on; the objective is their mean, made
    worse by its standard error. One run unless given."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """As `seeds`, with a run for each fold, whose validation splits count."""

    @field_validator("objective")
    @classmethod
    def _check_count(cls, value: dict[str, Goal]) -> dict[str, Goal]:
        if not 1 <= len(value) <= 2:
            raise ValueError(
                f"has {len(value)} objectives; give one, or two for a Pareto front, and put others"
                " into limits"
            )
        return value

    @model_validator(mode="after")
    def _check_end(self) -> "Tune":
        if self.trials is None and self.budget is None and not self.sampler.has_end:
            raise ValueError("has no end; give trials: 40, or a budget such as 2h")
        if self.seeds and self.folds:
            raise ValueError(f"has seeds: {self.seeds} and folds: {self.folds}; give one of them")
        return self

    @model_validator(mode="after")
    def _check_pruner(self) -> "Tune":
        if self.pruner is None:
            return self
        names = ", ".join(self.objective)
        if len(self.objective) > 1:
            raise ValueError(
                f"has pruner: {self.pruner.name} with two objectives, {names}, between which no"
                " pruner can decide; remove the pruner, or put one of them into limits"
            )
        if names not in LOGGED:
            raise ValueError(
                f"has pruner: {self.pruner.name}, which needs an objective that is known after"
                f" each epoch: {' or '.join(LOGGED)}; got {names}"
            )
        return self

    def describe_search(self) -> dict[str, Any]:
        """Return what must stay the same while a study goes on: all but how long it may take."""
        return self.model_dump(exclude={"trials", "budget"})
