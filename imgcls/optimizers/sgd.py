"""SGD with momentum, optionally Nesterov momentum (Sutskever et al., 2013). Light zone."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.optimizers import OptimizerSettings

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class Settings(OptimizerSettings):
    """SGD's settings."""

    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    """The peak of the schedule."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum coefficient; 0 for plain SGD."""
    nesterov: bool = True
    """Whether to use Nesterov momentum."""


def build(
    settings: Settings, learning_rate: "float | Callable[[], tf.Tensor]"
) -> "keras.optimizers.Optimizer":
    """Return a Keras SGD optimizer."""
    import keras

    return keras.optimizers.SGD(
        learning_rate, momentum=settings.momentum, nesterov=settings.nesterov
    )
