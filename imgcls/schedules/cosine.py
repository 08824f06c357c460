"""Half a cosine wave from the peak down to `final_fraction` of it, after an optional linear warm-up
(Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.schedules import WarmupSettings

if TYPE_CHECKING:
    import keras


class Settings(WarmupSettings):
    """The cosine schedule's settings."""

    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The learning rate at the end of training, as a fraction of the peak."""


def build(
    settings: Settings, learning_rate: float, steps: int, steps_per_epoch: int
) -> "keras.optimizers.schedules.LearningRateSchedule":
    """Return the schedule."""
    import keras

    # At least one step is the cosine's: Keras refuses one of no steps.
    warmup_steps = min(settings.count_warmup_steps(steps, steps_per_epoch), steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if warmup_steps else learning_rate,
        steps - warmup_steps,
        alpha=settings.final_fraction,
        warmup_target=learning_rate if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
