"""The sections of `train` that watch a quantity of the validation split. Light zone."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from imgcls.parts import Section

Monitor = Literal["val_loss", "val_accuracy"]


class EarlyStopping(Section):
    """Stop when the monitored quantity has not improved for `patience` epochs."""

    short: ClassVar[str | None] = "patience"

    monitor: Monitor = "val_loss"
    """The quantity, measured on the validation split."""
    patience: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """Epochs without improvement after which training stops."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Minimum change that counts as an improvement."""


class Plateau(Section):
    """Reduce the learning rate when a monitored quantity has not improved for `patience` epochs."""

    short: ClassVar[str | None] = "patience"

    monitor: Monitor = "val_loss"
    """The quantity, measured on the validation split."""
    patience: Annotated[int, Field(ge=1, le=1_000_000)] = 5
    """Epochs without improvement after which the learning rate is reduced, and reduced again."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Factor by which the learning rate of all later steps is multiplied."""
    min_delta: Annotated[float, Field(ge=0)] = 0.0
    """Minimum change that counts as an improvement."""
