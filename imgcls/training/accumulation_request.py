"""The request for smaller micro-batches that a process leaves for the next start. Light zone.

A process that ran out of memory, and cannot continue itself, writes it.
"""

import os
from typing import Annotated

from pydantic import Field

from imgcls.errors import DataError
from imgcls.io.records import Record, read_record, write_record
from imgcls.run import Run


class RequestedAccumulation(Record):
    """The request of a worker that ran out of memory, for the next start of the cluster."""

    accumulation_steps: Annotated[int, Field(ge=1)]
    """Micro-batches per device and training step."""


def write_request(run: Run, accumulation_steps: int) -> None:
    """Ask for more accumulation steps at the next start; every worker may write this file."""
    write_record(
        run.accumulation_steps_file, RequestedAccumulation(accumulation_steps=accumulation_steps)
    )


def read_request(run: Run, local_batch_size: int) -> int | None:
    """Return the requested number of accumulation steps; None if there is no request.

    Args:
        local_batch_size: images per device and step.

    Raises:
        DataError: the file is damaged, or the number does not divide a local batch.
    """
    path = run.accumulation_steps_file
    if not os.path.lexists(path):
        return None
    advice = "delete it, and run the same command again"
    requested = read_record(path, RequestedAccumulation, advice).accumulation_steps
    if local_batch_size % requested:
        raise DataError(
            f"{path} asks for {requested} accumulation steps, which do not divide"
            f" {local_batch_size} images; {advice}"
        )
    return requested
