"""Adam: adaptive moment estimation (Kingma and Ba, 2015, https://arxiv.org/abs/1412.6980).

Light zone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.optimizers import OptimizerSettings

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Settings(OptimizerSettings):
    """Adam's settings."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """The peak of the schedule."""
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay rate of the first moment."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay rate of the second moment."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-7
    """Added to the square root of the second moment in the denominator."""


def build(
    settings: Settings, learning_rate: "float | Callable[[], tf.Tensor]"
) -> "keras.optimizers.Optimizer":
    """Return a Keras Adam optimizer with a fused update."""
    from imgcls.optimizers._fused import FusedAdam

    return FusedAdam(
        learning_rate, beta_1=settings.beta_1, beta_2=settings.beta_2, epsilon=settings.epsilon
    )
