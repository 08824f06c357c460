"""Median pruning: stops a trial whose best value so far is worse than the median of the earlier
trials at the same epoch. Light zone.

Golovin et al., 2017. Optuna's MedianPruner.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


class Settings(PartSettings):
    """The settings of median pruning."""

    first_trials: Annotated[int, Field(ge=1)] = 5
    """Finished trials before any is pruned."""
    first_epochs: Annotated[int, Field(ge=0)] = 1
    """Epochs of each trial in which it is not pruned."""


def build(settings: Settings, epochs: int | None) -> "BasePruner":
    """Return Optuna's pruner."""
    from optuna.pruners import MedianPruner

    return MedianPruner(
        n_startup_trials=settings.first_trials, n_warmup_steps=settings.first_epochs
    )
