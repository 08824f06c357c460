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
    l2: Annotated[float, Field(ge=0)] = 0.0
    """L2 regularization of kernels, not of biases and the parameters of norm layers: adds this
    times the weights to the gradient, as `weight_decay` of torch's SGD does. The penalty on the
    loss is half of this times the squared weights; the log's loss does not include it.
    """


def build(
    settings: Settings, learning_rate: "float | Callable[[], tf.Tensor]"
) -> "keras.optimizers.Optimizer":
    """Return a Keras SGD optimizer with L2 regularization."""
    from imgcls.optimizers._sgd import RegularizedSGD

    optimizer = RegularizedSGD(
        learning_rate, momentum=settings.momentum, nesterov=settings.nesterov
    )
    optimizer.l2 = settings.l2
    return optimizer
