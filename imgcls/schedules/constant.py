"""A constant learning rate, after an optional linear warm-up (Goyal et al., 2017, section 2.2,
https://arxiv.org/abs/1706.02677).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from imgcls.durations import Duration, DurationIn
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import keras


class Settings(PartSettings):
    """The constant schedule's settings."""

    warmup: Annotated[Duration, DurationIn("%", "steps", "epochs")] | None = None
    """For how long the rate climbs linearly from 0 to its peak, at the start; off unless given."""


def build(
    settings: Settings, learning_rate: float, steps: int, steps_per_epoch: int
) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """Return the rate, or its climb: Keras's polynomial of power 1 stays at its end value for
    ever.
    """
    import keras

    warmup_steps = settings.warmup.count_steps(steps, steps_per_epoch) if settings.warmup else 0
    if warmup_steps == 0:
        return learning_rate
    return keras.optimizers.schedules.PolynomialDecay(
        0.0, warmup_steps, end_learning_rate=learning_rate
    )
