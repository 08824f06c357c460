"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter, 2019, arXiv:1711.05101).

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
    """AdamW's settings."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """The peak of the schedule."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Decoupled weight decay: each step multiplies kernels by 1 minus this times the learning rate;
    biases and the parameters of norm layers do not decay.
    """
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay rate of the first moment."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay rate of the second moment."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-7
    """Added to the square root of the second moment in the denominator."""


def build(
    settings: Settings, learning_rate: "float | Callable[[], tf.Tensor]"
) -> "keras.optimizers.Optimizer":
    """Return a Keras AdamW optimizer with a fused update."""
    from imgcls.optimizers._fused import FusedAdam

    return FusedAdam(
        learning_rate,
        weight_decay=settings.weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
    )
