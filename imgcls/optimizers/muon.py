"""Muon: momentum with orthogonalized updates of hidden kernels (Jordan et al., 2024,
https://kellerjordan.github.io/posts/muon).

The kernels of convolutions are matrices of (height * width * inputs, outputs). Biases, norm layers,
the first and the last layer are trained by a companion. Light zone.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from imgcls.optimizers import OptimizerSettings
from imgcls.parts import PartOf, load_for

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

COMPANION = PartOf(
    "optimizers",
    default="sgd",
    names=("adamw", "sgd"),
    values={"adamw": {"learning_rate": 5e-3}, "sgd": {"learning_rate": 0.03}},
)


class Settings(OptimizerSettings):
    """Muon's settings."""

    learning_rate: Annotated[float, Field(gt=0)] = 0.03
    """The peak of the schedule, for hidden kernels. The update of a matrix has singular values
    around 1, times the square root of outputs / inputs if there are more outputs than inputs.
    """
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Coefficient of Nesterov momentum; 0.95 in Jordan's code."""
    newton_schulz_steps: Annotated[int, Field(ge=1)] = 4
    """Iterations that orthogonalize a matrix; 5 in Jordan's code. With 4, small singular values
    stay smaller.
    """
    weight_decay: Annotated[float, Field(ge=0)] = 0.005
    """Decoupled weight decay: each step also subtracts from hidden kernels this times the learning
    rate times their values.
    """
    companion: Annotated[OptimizerSettings, COMPANION] = Field(
        default_factory=COMPANION.make_default
    )
    """The optimizer of all other variables: sgd or adamw, with its own learning rate, which follows
    the same schedule; 0.03 for sgd and 0.005 for adamw unless given.
    """


def build(
    settings: Settings, learning_rate: "float | Callable[[], tf.Tensor]"
) -> "keras.optimizers.Optimizer":
    """Return a Keras optimizer of Muon and its companion."""
    from imgcls.optimizers._muon import Muon

    companion: Any = settings.companion
    return Muon(
        learning_rate,
        load_for("optimizers", companion).build(companion, learning_rate),
        companion_ratio=companion.learning_rate / settings.learning_rate,
        momentum=settings.momentum,
        steps=settings.newton_schulz_steps,
        weight_decay=settings.weight_decay,
    )
