"""The record compression.json: what a compressed run was made of, and how. Light zone."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, JsonValue

from imgcls.io.records import Record, read_record


class CompressionStep(Record):
    """One method of the chain."""

    settings: dict[str, JsonValue]
    """The method, by `name`, with its settings."""
    details: dict[str, JsonValue]
    """What it did; empty until it is done. Each method has its own keys."""


class NetworkSize(Record):
    """The size of a network."""

    parameters: Annotated[int, Field(ge=0)]
    """Number of weights."""
    multiply_adds: Annotated[int, Field(ge=0)]
    """Multiply-adds of convolutions and matrix products for one image."""


class Compression(Record):
    """Where a compressed run comes from."""

    original: str
    """The folder of the run that was compressed."""
    original_sha256: str
    """The SHA-256 of its model file."""
    earlier: list[CompressionStep]
    """The methods by which that run had been compressed before; empty for one that was trained."""
    steps: Annotated[list[CompressionStep], Field(min_length=1)]
    """The methods, in the order in which they were applied."""
    network: NetworkSize | None
    """The size of the compressed network, before a conversion; null until it is done."""

    def describe(self) -> str:
        """Return the methods in a phrase, such as `fold, then quantize`."""
        return ", then ".join(str(step.settings["name"]) for step in self.steps)


def read_compression(path: Path) -> Compression:
    """Return the record of a compressed run.

    Raises:
        DataError: it is missing or damaged.
    """
    return read_record(path, Compression, "compress the original again")
