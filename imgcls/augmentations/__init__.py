"""Augmentations: each file holds `Settings` and `compute(settings, images, random) -> images`, or
`mix`, where targets change too.

`images` is a uint8 tensor (batch, height, width, channels), and so is the result. A part that mixes
images has `mix(settings, images, targets, random) -> (images, targets)` instead, with targets
float32 (batch, classes). All randomness comes from `random`, a pure function of (seed, step, row in
the global batch), so that any number of devices makes the same images. A part's constant
`RANDOM_KEY` keeps its random numbers apart from those of other parts; it stays when the part is
renamed, so that results can still be reproduced. Light zone: tensorflow is imported inside the
function.

Modules whose names begin with an underscore hold what parts share. They use operations that are
fast on a CPU too, and that have deterministic kernels everywhere: choosing between bytes with
`tf.where`, for instance, takes ten times as long as with bit masks.
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
"""The smallest and the largest value that is drawn for an image."""
PositiveRange = Annotated[
    list[Annotated[float, Field(gt=0)]],
    Field(min_length=2, max_length=2),
    AfterValidator(_require_ascending),
]
"""The same, above 0."""
Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number from 0 to 1."""


class AugmentationSettings(PartSettings):
    """The settings that all augmentations share."""

    until: Annotated[Duration, DurationIn("%", "epochs", "steps")] | None = None
    """How long it is applied; training then goes on without it. A percentage is rounded up to whole
    epochs. To the end of training unless given.
    """

    def find_end(self, epochs: int, steps_per_epoch: int) -> int:
        """Return the first step at which it is no longer applied."""
        if self.until is None:
            return epochs * steps_per_epoch
        return self.until.find_end(epochs, steps_per_epoch)

    def needs_rgb(self) -> str | None:
        """Return what to do about images without 3 channels; None where the part works on them."""
        return None


class RandomParameters(Protocol):
    """The source of random parameters of one augmentation on one batch; calls are independent."""

    def uniform(self, low: float, high: float, shape: tuple[int, ...] = ()) -> "tf.Tensor":
        """Return float32 (batch, *shape), uniform in [low, high)."""

    def integers(self, low: int, high: int) -> "tf.Tensor":
        """Return int32 (batch,), uniform over low, ..., high - 1."""

    def normal(self, shape: tuple[int, ...]) -> "tf.Tensor":
        """Return float32 (batch, *shape), with mean 0 and std 1."""

    def bytes(self, shape: tuple[int, ...]) -> "tf.Tensor":
        """Return uint8 (batch, *shape), uniform over 0, ..., 255."""
