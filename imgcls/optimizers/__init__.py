"""Optimizers: each file holds `Settings` (an `OptimizerSettings`) and
`build(settings, learning_rate)`. Light zone.

The argument `learning_rate` of `build` is a number, or a function without arguments that returns
the learning rate of the current step, a scalar tensor; `build` returns a Keras optimizer. Keras is
imported inside `build`.
"""

from typing import Annotated

from pydantic import Field

from imgcls.parts import PartSettings


class OptimizerSettings(PartSettings):
    """What every optimizer's settings have."""

    learning_rate: Annotated[float, Field(gt=0)]
    """The peak of the schedule."""
