"""A constant learning rate, after an optional linear warm-up (Goyal et al., 2017, section 2.2,
https://arxiv.org/abs/1706.02677).
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import keras


class Settings(PartSettings):
    """The constant schedule's settings."""

    warmup: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of all steps over which the rate climbs from 0 to its peak."""


def build(
    settings: Settings, learning_rate: float, steps: int
) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """Return the rate, or its climb: Keras's polynomial of power 1 stays at its end value for
    ever.
    """
    import keras

    warmup_steps = round(settings.warmup * steps)
    if warmup_steps == 0:
        return learning_rate
    return keras.optimizers.schedules.PolynomialDecay(
        0.0, warmup_steps, end_learning_rate=learning_rate
    )
