"""ASHA, asynchronous successive halving: of the trials that reach a rung, the best fraction goes
on. Light zone.

Li et al., 2020. Optuna's SuccessiveHalvingPruner.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from optuna.pruners import BasePruner


class Settings(PartSettings):
    """The settings of successive halving."""

    min_epochs: Annotated[int, Field(ge=1)] = 1
    """Epochs of the first rung."""
    reduction_factor: Annotated[int, Field(ge=2)] = 4
    """One in so many trials goes on, and each rung has so many times the epochs of the last."""


def build(settings: Settings, epochs: int | None) -> "BasePruner":
    """Return Optuna's pruner."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(
        min_resource=settings.min_epochs, reduction_factor=settings.reduction_factor
    )
