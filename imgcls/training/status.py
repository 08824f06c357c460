"""What status.json holds: how far a run came, and why it stopped. Light zone."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from imgcls.io.records import Record, VersionedRecord


class Divergence(Record):
    """Where training met a number that is not finite, as far as that is known."""

    epoch: Annotated[int, Field(ge=1)] | None
    """The epoch, counted from 1; null where weights were checked between epochs."""
    step: Annotated[int, Field(ge=0)] | None
    """The step, counted from 1 over all epochs; null where validation diverged."""
    learning_rate: float | None
    """The learning rate of that step; null where it is not known or not finite."""
    images: list[str] | None
    """The ids of the images of that step; null where no step is to blame."""


class Retry(Divergence):
    """Where training diverged and went on from the last good state with a lower learning rate."""

    learning_rate_factor: Annotated[float, Field(ge=0)]
    """What the learning rate of all later steps is multiplied by, over all retries so far."""


class Status(VersionedRecord):
    """The state of a run; replaced whenever it changes."""

    SUBJECT: ClassVar[str] = "a run"
    FORMAT: ClassVar[int] = 2

    format: Literal[2]
    """The format of all files of the run."""
    status: Literal["created", "running", "interrupted", "failed", "finished"]
    """`created` before training begins, `running` while it goes on or after a crash, `interrupted`
    if it can continue, `failed`, or `finished`.
    """
    step: Annotated[int, Field(ge=0)]
    """Training steps done, over all epochs, at the last saved state."""
    retries: list[Retry]
    """One for each time that training diverged and went on with a lower learning rate."""
    accumulation_steps: Annotated[int, Field(ge=1)]
    """Micro-batches that each device works on one after the other for a step."""
    divergence: Divergence | None
    """Where training diverged, if that ended it."""
    exit_code: Annotated[int, Field(ge=0)] | None
    """The exit code of the command that trained last; null before it ends."""
    reason: str
    """Why it stopped, in words; empty while it runs and once it is finished."""
