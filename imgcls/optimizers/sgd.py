"""SGD: stochastic gradient descent with momentum, optionally Nesterov's (Sutskever et al.,
2013).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import keras


class Settings(PartSettings):
    """SGD's settings."""

    learning_rate: Annotated[float, Field(gt=0)] = 0.1
    """The peak of the schedule."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Share of the last update that a step repeats; 0 for plain SGD."""
    nesterov: bool = True
    """Whether the gradient is taken after the momentum's part of the step."""


def build(
    settings: Settings, learning_rate: "float | keras.optimizers.schedules.LearningRateSchedule"
) -> "keras.optimizers.Optimizer":
    """Return the optimizer."""
    import keras

    return keras.optimizers.SGD(
        learning_rate, momentum=settings.momentum, nesterov=settings.nesterov
    )
