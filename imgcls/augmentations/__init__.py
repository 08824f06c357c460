"""Augmentations: each file holds `Settings` and `compute(settings, images, random) -> images`, or
`mix`, where targets change too.

`images` is a uint8 tensor (batch, height, width, channels), and so is the result. A part that mixes
images has `mix(settings, images, targets, random) -> (images, targets)` instead, with targets
float32 (batch, classes). All chance comes from `draws`: a pure function of (seed, step, row in the
global batch), so that any number of devices makes the same images. A part's constant `RANDOM_KEY`
tells its draws from those of the others; it stays when the part gets another name, so that old
numbers come again. Light zone: tensorflow is imported inside the function.

Modules whose name begins with an underscore hold what parts share. They choose operations that are
fast on a CPU too, and that have deterministic kernels everywhere: a choice between bytes by
`tf.where`, for instance, takes ten times as long as one by bits.
"""

from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import AfterValidator, Field

from imgcls.durations import Duration, DurationIn
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import tensorflow as tf


def _require_ascending(value: list[float]) -> list[float]:
    if value[0] > value[1]:
        raise ValueError(f"is {value}; give the smaller number first")
    return value


Range = Annotated[
    list[Annotated[float, Field(ge=0)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_require_ascending),
]
"""The least and the largest value of what is drawn for each image."""
PositiveRange = Annotated[
    list[Annotated[float, Field(gt=0)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_require_ascending),
]
"""The same, above 0."""
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""


class AugmentationSettings(PartSettings):
    """What every augmentation can be told."""

    until: Annotated[Duration, DurationIn("%", "epochs", "steps")] | None = None
    """For how long it works: after that, training goes on without it. A percentage is rounded up to
    whole epochs. To the end unless given.
    """

    def find_end(self, epochs: int, steps_per_epoch: int) -> int:
        """Return the step from which on it does nothing."""
        if self.until is None:
            return epochs * steps_per_epoch
        return self.until.find_end(epochs, steps_per_epoch)

    def needs_rgb(self) -> str | None:
        """Return what to do where images have another number of channels than 3, if it then cannot
        work.
        """
        return None


class RandomParameters(Protocol):
    """A source of random numbers for one augmentation on one batch; each call is independent of the
    ones before.
    """

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> "tf.Tensor":
        """Return float32 (batch, *shape), uniform in [low, high)."""

    def integers(self, low: int, high: int) -> "tf.Tensor":
        """Return int32 (batch,), uniform over low, ..., high - 1."""

    def normal(self, shape: tuple[int, ...]) -> "tf.Tensor":
        """Return float32 (batch, *shape), of mean 0 and std 1."""

    def bytes(self, shape: tuple[int, ...]) -> "tf.Tensor":
        """Return uint8 (batch, *shape), uniform over 0, ..., 255."""
