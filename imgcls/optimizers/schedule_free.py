"""Schedule-free AdamW: averaging takes the place of a schedule (Defazio et al., 2024, algorithm 1,
https://arxiv.org/abs/2405.15682).

It needs a constant schedule, best with a warm-up, and no number of epochs in advance. What is
validated, selected and saved is the average of the weights. It keeps three numbers for each weight.
Light zone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from imgcls.optimizers import OptimizerSettings

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Settings(OptimizerSettings):
    """The settings of schedule-free AdamW."""

    averages_weights: ClassVar[bool] = True

    learning_rate: Annotated[float, Field(gt=0)] = 2.5e-3
    """The peak of the schedule. The weight of a step in the average is the square of its rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay of kernels, at the weights where gradients are taken."""
    beta_1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Where gradients are taken between the last iterate, 0, and the average, 1."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay rate of the second moment."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-8
    """Added to the square root of the second moment in the denominator."""


def build(
    settings: Settings, learning_rate: "float | Callable[[], tf.Tensor]"
) -> "keras.optimizers.Optimizer":
    """Return a Keras optimizer."""
    from imgcls.optimizers._schedule_free import ScheduleFreeAdamW

    return ScheduleFreeAdamW(
        learning_rate,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
        weight_decay=settings.weight_decay,
    )
