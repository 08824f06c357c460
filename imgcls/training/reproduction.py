"""The record in reproduction.json, which marks a run as a reproduction of another. Light zone."""

from typing import Annotated

from pydantic import Field

from imgcls.io.records import Record


class Reproduction(Record):
    """What a run is a reproduction of."""

    run: str
    """The folder of the run that is reproduced, as it was given."""
    epochs: Annotated[int, Field(ge=1)] | None
    """The number of epochs to train and compare; null for all."""

    def describe(self) -> str:
        """Return what is reproduced, such as "runs/digits/1 up to epoch 2"."""
        return self.run if self.epochs is None else f"{self.run} up to epoch {self.epochs}"
