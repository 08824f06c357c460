"""A half cosine from the peak to `final_fraction`, after a linear warm-up (Loshchilov and Hutter,
2017, https://arxiv.org/abs/1608.03983).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.durations import Duration, DurationIn
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import keras


class Settings(PartSettings):
    """The cosine schedule's settings."""

    warmup: Annotated[Duration, DurationIn("%", "steps", "epochs")] | None = None
    """For how long the rate climbs linearly from 0 to its peak, at the start; off unless given."""
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The last rate, as a fraction of the peak."""


def build(
    settings: Settings, learning_rate: float, steps: int, steps_per_epoch: int
) -> "keras.optimizers.schedules.LearningRateSchedule":
    """Return the schedule."""
    import keras

    wanted = settings.warmup.count_steps(steps, steps_per_epoch) if settings.warmup else 0
    warmup_steps = min(wanted, steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else learning_rate,
        steps - warmup_steps,
        alpha=settings.final_fraction,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
