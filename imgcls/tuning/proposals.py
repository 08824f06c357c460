"""What is proposed for a trial: a function of the seed, the trial's number, and the finished
trials. Light zone.

So two jobs never propose the same by having the same seed, and a study that was interrupted goes on
as if it had not been, as long as one job works on it. Optuna is imported inside functions.
"""

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from imgcls import parts
from imgcls.config import Experiment
from imgcls.tune_config import Tune
from imgcls.tuning.space import Parameter, SearchSpace

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler


def derive_sampler_seed(seed: int, number: int) -> int:
    """Return the seed of the sampler for a trial: 31 bits."""
    digest = hashlib.sha256(f"{seed}/sampler/{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def list_fixed(tune: Tune, space: SearchSpace) -> list[dict[str, Any]]:
    """Return the proposals of the first trials: the file's own values, and then those of a sampler
    that knows all of them in advance, without the file's own.
    """
    own = space.own
    if not tune.sampler.has_end:
        return [own]
    points = parts.load_for("samplers", tune.sampler).list_points(tune.sampler, space)
    return [own, *[point for point in points if point != own]]


def make_sampler(experiment: Experiment, tune: Tune, space: SearchSpace) -> "BaseSampler":
    """Return the sampler of a study."""
    from imgcls.tuning.numbered_sampler import NumberedSampler

    def build(number: int) -> "BaseSampler":
        seed = derive_sampler_seed(experiment.seed, number)
        sampler: BaseSampler = parts.load_for("samplers", tune.sampler).build(tune.sampler, seed)
        return sampler

    return NumberedSampler(list_fixed(tune, space), None if tune.sampler.has_end else build)


def make_pruner(experiment: Experiment, tune: Tune) -> "BasePruner":
    """Return the pruner of a study; one that prunes nothing unless the experiment has another."""
    from optuna.pruners import NopPruner

    if tune.pruner is None:
        return NopPruner()
    pruner: BasePruner = parts.load_for("pruners", tune.pruner).build(
        tune.pruner, experiment.train.epochs
    )
    return pruner


def propose(trial: "Trial", space: SearchSpace, fixed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the proposals for a trial, which the study keeps; those that it has stay.

    Args:
        fixed: those of the first trials. What the space lacks of the file's own values is as in the
            file, and is not a parameter of the study.
    """
    if trial.number >= len(fixed):
        return space.choose(lambda parameter: _suggest(trial, parameter))
    by_key = {parameter.key: parameter for parameter in space.parameters}
    return {key: _suggest(trial, by_key[key]) for key in fixed[trial.number]}


def _suggest(trial: "Trial", parameter: Parameter) -> Any:
    settings = parameter.settings
    if settings.choices is not None:
        return trial.suggest_categorical(parameter.key, parameter.labels)
    if parameter.is_whole:
        low, high = int(parameter.low), int(parameter.high)
        step = 1 if settings.step is None else int(settings.step)
        return trial.suggest_int(parameter.key, low, high, step=step, log=settings.log)
    return trial.suggest_float(
        parameter.key,
        float(parameter.low),
        float(parameter.high),
        step=None if settings.step is None else float(settings.step),
        log=settings.log,
    )
