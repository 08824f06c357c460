"""Hyperband: successive halving in several brackets, which start with more or fewer epochs. Light
zone.

Li et al., 2018. Optuna's HyperbandPruner.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


class Settings(PartSettings):
    """The settings of hyperband."""

    min_epochs: Annotated[int, Field(ge=1)] = 1
    """Epochs of the first rung of the bracket that prunes most."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One in so many trials goes on, and each rung has so many times the epochs of the last."""


def build(settings: Settings, epochs: int | None) -> "BasePruner":
    """Return Optuna's pruner, whose brackets follow from the number of epochs."""
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(
        min_resource=settings.min_epochs,
        max_resource="auto" if epochs is None else max(epochs, settings.min_epochs),
        reduction_factor=settings.reduction_factor,
    )
