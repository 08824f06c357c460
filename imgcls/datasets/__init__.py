"""Data sets: each file holds `Settings` (a `DataSettings`) and `prepare(settings) -> Source`. Light zone.

A `Source` names the classes and the image shape, and yields one `Record` an image, so that a set larger than the memory passes
through in a stream. `imgcls/store.py` writes what it yields; `imgcls/splitting.py` cuts the splits that the source lacks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")


class DataSettings(PartSettings):
    """What every data set can be told."""

    store: str = "data"
    """The folder that holds prepared stores and downloads."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training images held out for choosing, where the source has no validation split of its own."""
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of all images held out for the final judgement, where the source has no test split of its own."""


@dataclass(frozen=True)
class Record:
    """One image: uint8 (height, width, channels), its class number, an id unique in the set, and the source's own split.

    A source without a test split of its own says "train" for every image.
    """

    image: "numpy.ndarray"
    label: int
    id: str
    split: SplitName = "train"


@dataclass(frozen=True)
class BadImage:
    """An image that cannot be used: its path, and what is wrong with it."""

    id: str
    problem: str


@dataclass(frozen=True)
class Source:
    """A data set as it is read: class names in label order, one image shape, the number of files, and the stream of images."""

    classes: list[str]
    shape: tuple[int, int, int]
    count: int
    records: Iterator[Record | BadImage]
