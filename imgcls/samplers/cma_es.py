"""CMA-ES: adapts a normal distribution to the good trials, for many numbers and no choices. Light
zone.

Hansen and Ostermeier, 2001. Optuna's CmaEsSampler; choices, which it cannot adapt, are random.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.samplers import SamplerSettings

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Settings(SamplerSettings):
    """The settings of CMA-ES."""

    random_trials: Annotated[int, Field(ge=1)] = 5
    """Trials at the start that are proposed at random."""


def build(settings: Settings, seed: int) -> "BaseSampler":
    """Return Optuna's sampler, whose state is in the study."""
    from optuna.samplers import CmaEsSampler, RandomSampler

    return CmaEsSampler(
        n_startup_trials=settings.random_trials,
        independent_sampler=RandomSampler(seed=seed),
        warn_independent_sampling=False,
        seed=seed,
    )
