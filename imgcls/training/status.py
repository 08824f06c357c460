"""The record in status.json: a run's progress, and why it stopped. Light zone."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from imgcls.io.records import Record, VersionedRecord


class Divergence(Record):
    """Where a loss, gradient or weight was not finite."""

    epoch: Annotated[int, Field(ge=1)] | None
    """The epoch, counted from 1; null if a weight was not finite."""
    step: Annotated[int, Field(ge=0)] | None
    """The step, counted from 1 over all epochs; null if the validation loss was not finite."""
    learning_rate: float | None
    """The learning rate of that step; null if it is unknown or not finite."""
    images: list[str] | None
    """The ids of the images of that step; null unless its loss or a gradient was not finite."""


class Retry(Divergence):
    """A divergence after which training continued from the last good checkpoint."""

    learning_rate_factor: Annotated[float, Field(ge=0)]
    """The factor on the learning rate of all later steps: the product over all retries."""


class Status(VersionedRecord):
    """The status of a run; replaced whenever it changes."""

    SUBJECT: ClassVar[str] = "a run"
    FORMAT: ClassVar[int] = 5

    format: Literal[5]
    """The format of all files of the run."""
    status: Literal["created", "running", "interrupted", "failed", "finished"]
    """`created` before training starts, `running` during it or after a crash, `interrupted` if the
    same command continues it, `failed`, or `finished`.
    """
    step: Annotated[int, Field(ge=0)]
    """Training steps done by the last checkpoint, over all epochs."""
    retries: list[Retry]
    """One entry for each retry after divergence."""
    accumulation_steps: Annotated[int, Field(ge=1)]
    """Micro-batches per device and training step."""
    divergence: Divergence | None
    """The divergence that ended training; null if another reason did, or before it ends."""
    exit_code: Annotated[int, Field(ge=0)] | None
    """The exit code of the last training command; null before it ends."""
    reason: str
    """Why training stopped; empty while it runs and when it is finished."""
