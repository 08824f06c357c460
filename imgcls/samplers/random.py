"""Random search: independent values, uniform in each range or over its logarithm. Light zone.

Bergstra and Bengio, 2012. Optuna's RandomSampler.
"""

from typing import TYPE_CHECKING

from imgcls.samplers import SamplerSettings

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Settings(SamplerSettings):
    """Random search has no settings."""


def build(settings: Settings, seed: int) -> "BaseSampler":
    """Return Optuna's sampler."""
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)
