"""Lion: steps of the sign of a momentum (Chen et al., 2023, algorithm 2,
https://arxiv.org/abs/2302.06675).

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
    """Lion's settings."""

    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    """The peak of the schedule: by how much each weight changes in a step. The paper advises a
    third to a tenth of AdamW's, with a weight decay that is larger by the same factor.
    """
    weight_decay: Annotated[float, Field(ge=0)] = 0.03
    """Decoupled weight decay: each step also subtracts from kernels this times the learning rate
    times their values.
    """
    beta_1: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """Weight of the momentum in the sum with the gradient whose sign is the step."""
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay rate of the momentum."""


def build(
    settings: Settings, learning_rate: "float | Callable[[], tf.Tensor]"
) -> "keras.optimizers.Optimizer":
    """Return a Keras Lion optimizer."""
    from imgcls.optimizers._lion import Lion

    return Lion(
        learning_rate,
        weight_decay=settings.weight_decay,
        beta_1=settings.beta_1,
        beta_2=settings.beta_2,
    )
