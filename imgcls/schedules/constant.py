"""A constant learning rate, after an optional linear warm-up (Goyal et al., 2017, section 2.2,
https://arxiv.org/abs/1706.02677).

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.schedules import WarmupSettings

if TYPE_CHECKING:
    import keras


class Settings(WarmupSettings):
    """The constant schedule's settings."""


def build(
    settings: Settings, learning_rate: float, steps: int, steps_per_epoch: int
) -> "float | keras.optimizers.schedules.LearningRateSchedule":
    """Return the rate, or a schedule that climbs to it and stays: Keras's polynomial decay of power
    1 keeps its end value for ever.
    """
    import keras

    warmup_steps = settings.count_warmup_steps(steps, steps_per_epoch)
    if warmup_steps == 0:
        return learning_rate
    return keras.optimizers.schedules.PolynomialDecay(
        0.0, warmup_steps, end_learning_rate=learning_rate
    )
