"""LAMB: Adam whose update of each kernel is as long as the kernel, for large batches (You et al.,
2020, algorithm 2, https://arxiv.org/abs/1904.00962).

Biases and the parameters of norm layers are updated as Adam does. Implementations such as timm's
also clip the gradients by a global norm of 1: set `train.global_clipnorm: 1.0`. Light zone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.optimizers import OptimizerSettings

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Settings(OptimizerSettings):
    """LAMB's settings."""

    learning_rate: Annotated[float, Field(gt=0)] = 5e-3
    """The peak of the schedule: the length of an update, as a fraction of the kernel's."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """Weight decay of kernels, which is part of the update before it is scaled."""
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay rate of the first moment."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay rate of the second moment."""
    epsilon: Annotated[float, Field(gt=0)] = 1e-6
    """Added to the square root of the second moment in the denominator."""


def build(
    settings: Settings, learning_rate: "float | Callable[[], tf.Tensor]"
) -> "keras.optimizers.Optimizer":
    """Return a Keras LAMB optimizer."""
    from imgcls.optimizers._lamb import Lamb

    return Lamb(
        learning_rate,
        weight_decay=settings.weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
        epsilon=settings.epsilon,
    )
