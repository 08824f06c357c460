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

import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import tensorflow as tf

PERCENT = r"^\d{1,2}(\.\d+)?%$"


def _share_or_epochs(value: Any) -> Any:
    """Refuse what is neither a share of the epochs nor a number of them, with one message for
    both.
    """
    epochs = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    share = isinstance(value, str) and re.match(PERCENT, value) and Decimal(value[:-1]) > 0
    if value is None or epochs or share:
        return value
    raise PydanticCustomError(
        "until",
        "is {given}; give a share of the epochs between 0% and 100%, such as 90%, or a number of"
        " epochs",
        {"given": repr(value)},
    )


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

    until: Annotated[
        Annotated[int, Field(ge=1)] | Annotated[str, Field(pattern=PERCENT)] | None,
        BeforeValidator(_share_or_epochs),
    ] = None
    """How many epochs it works, or which share of them, such as `90%`: the epochs after that train
    on images without it. All, unless given."""

    def epochs(self, of: int) -> int:
        """Return in how many of all epochs it works, counted from the first; a share is rounded
        up.
        """
        if self.until is None:
            return of
        return (
            self.until
            if isinstance(self.until, int)
            else math.ceil(Decimal(self.until[:-1]) * of / 100)
        )

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
        """Return float32 (batch, *shape), of mean 0 and deviation 1."""

    def bytes(self, shape: tuple[int, ...]) -> "tf.Tensor":
        """Return uint8 (batch, *shape), uniform over 0, ..., 255."""
