"""Tree-structured Parzen estimator: proposes values that were frequent in good trials and rare in
others. Light zone.

Bergstra et al., 2011; Watanabe, 2023 (arXiv:2304.11127). Optuna's TPESampler.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.samplers import SamplerSettings

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


class Settings(SamplerSettings):
    """The settings of the tree-structured Parzen estimator."""

    random_trials: Annotated[int, Field(ge=1)] = 10
    """Trials at the start that are proposed at random."""
    multivariate: bool = False
    """Whether parameters are proposed together, so that what depends on each other is found."""


def build(settings: Settings, seed: int) -> "BaseSampler":
    """Return Optuna's sampler; trials that run now count as bad, so that no other repeats them."""
    from optuna.samplers import TPESampler

    return TPESampler(
        n_startup_trials=settings.random_trials,
        multivariate=settings.multivariate,
        group=settings.multivariate,
        constant_liar=True,
        seed=seed,
    )
