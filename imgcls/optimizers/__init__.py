"""Optimizers: each file holds `Settings` (an `OptimizerSettings`) and
`build(settings, learning_rate)`. Light zone.

The argument `learning_rate` of `build` is a number, or a function without arguments that returns
the learning rate of the current step, a scalar tensor; `build` returns an `_optimizer.Optimizer`,
which is a Keras optimizer that clips gradients, and multiplies learning rates by the factors of
variables. Keras is imported inside `build`.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from imgcls.parts import PartSettings


class OptimizerSettings(PartSettings):
    """What every optimizer's settings have."""

    averages_weights: ClassVar[bool] = False
    """Whether the optimizer averages the weights itself, so that `train.ema` has no place."""

    learning_rate: Annotated[float, Field(gt=0)]
    """The peak of the schedule."""
