"""Data sets: each file holds `Settings` (a `DataSettings`) and `prepare(settings) -> Source`. Light
zone.

A `Source` names the classes and one `Entry` an image, and reads the image of any entry: as pixels,
where all have one shape, or as the bytes of an image file, whose settings are `ImageSettings`.
`imgcls/store/writer.py` reads entries in parallel and stores them; `imgcls/split/assign.py` splits
the store.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from imgcls import parts
from imgcls.image.decode import Resize
from imgcls.io.records import Record
from imgcls.parts import PartOf, PartSettings, default_settings_of_all

if TYPE_CHECKING:
    import numpy

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

MAX_WEIGHT = 3.4e38
"""Weights are stored as float32."""

SideLength = Annotated[int, Field(ge=1)]
_FOLD = re.compile(r"[1-9][0-9]*/[1-9][0-9]*")


class DataSettings(PartSettings):
    """What every data set can be told."""

    store_dir: str = "data"
    """The folder that holds prepared stores and downloads."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the training images held out for choosing, where the source has no validation split
    of its own.
    """
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of all images held out for the final judgement, where the source has no test split of
    its own.
    """
    fold: str | None = None
    """K/N, such as 2/5: the training images are cut into N folds, and fold K is the test split,
    whatever `test` and the source say.
    """
    splits_file: str | None = None
    """A CSV file with the header id,split that puts every image in train, validation, test or
    unused; `imgcls prepare --splits` writes one. It decides alone, whatever `test`, `validation`
    and the source say."""
    max_images: Annotated[int, Field(ge=1)] | None = None
    """At most so many images in each split, stratified: for quick runs."""
    audit: list[Annotated[PartSettings, PartOf("checks")]] = Field(
        default_factory=lambda: default_settings_of_all("checks")
    )
    """Checks of the data, files of imgcls/checks, in the order in which they run; all of them
    unless given, each with its policy.
    """

    @field_validator("fold")
    @classmethod
    def _is_one_of_the_folds(cls, value: str | None) -> str | None:
        number, count = _parse_fold(value) if value and _FOLD.fullmatch(value) else (0, 0)
        if value is not None and not (count >= 2 and number <= count):
            raise ValueError(
                "needs the form K/N with whole numbers, 1 <= K <= N and N >= 2, such as 2/5; got"
                f" '{value}'"
            )
        return value

    @field_validator("audit")
    @classmethod
    def _each_once(cls, value: list[PartSettings]) -> list[PartSettings]:
        return parts.require_unique(value, "give each check once")

    @model_validator(mode="after")
    def _is_cut_in_one_way(self) -> "DataSettings":
        if self.fold and self.splits_file:
            raise ValueError(
                f"fold ({self.fold}) cuts the splits, and splits_file ({self.splits_file}) fixes"
                " them; give one of the two"
            )
        return self

    @property
    def fold_number(self) -> tuple[int, int] | None:
        """K, from 1 on, and N of `fold`."""
        return _parse_fold(self.fold) if self.fold else None

    def storage_settings(self) -> dict[str, Any]:
        """Return the settings that decide on the bytes of a store; all others decide on what is
        made of it.
        """
        return self.model_dump(
            exclude={
                "store_dir",
                "offline",
                "validation",
                "test",
                "fold",
                "splits_file",
                "max_images",
                "audit",
            }
        )

    def identity(self) -> dict[str, Any]:
        """Return the settings that can change a number: all but where a store lies and whether its
        data may be downloaded.
        """
        return self.model_dump(exclude={"store_dir", "offline"})

    def assignment_settings(self) -> dict[str, Any]:
        """Return the settings that decide on which side an image comes: what the data set itself is
        told, and how it is cut.

        Neither a size nor a limit moves an image, nor which of the folds is the test split.
        """
        own = set(type(self).model_fields) - set(ImageSettings.model_fields) - {"offline"}
        settings = self.model_dump(
            include=own | {"name", "validation", "test", "splits_file"}, exclude_none=True
        )
        return settings | ({"folds": self.fold_number[1]} if self.fold_number else {})


def _parse_fold(fold: str) -> tuple[int, int]:
    number, count = map(int, fold.split("/"))
    return number, count


class ImageSettings(DataSettings):
    """What a data set of image files can be told. imgcls/image/decode.py says how a file becomes
    pixels.
    """

    size: list[SideLength] = Field([64, 64], min_length=2, max_length=2)
    """Height and width that the model sees: every image is brought to it."""
    resize: Resize = "pad"
    """pad: the whole image with black bars; crop: the centre, filled; stretch: proportions are
    lost.
    """
    channels: Literal[1, 3, 4] | None = None
    """1 is grey, 3 is RGB, 4 is RGB with its transparency. Unless given: 1 if every image is grey,
    else 3; the choice is printed.
    """
    storage: Literal["pixels", "encoded"] = "pixels"
    """pixels: every image at one size, for small images, which need no decoding then; encoded:
    image files of any size, decoded when they are needed."""
    stored_size: list[SideLength] | None = Field(None, min_length=2, max_length=2)
    """Height and width of stored pixels, where augmentation is to cut its windows from images
    larger than `size`.
    """
    short_side: SideLength | None = None
    """Encoded images whose short side is longer are shrunk to it, as JPEG of quality 95; the files
    as they are unless given.
    """
    restart_markers: bool = False
    """Encode plain JPEGs anew, with restart markers, by which random windows are cut out of them
    before they are decoded: that saves a quarter of the time, and changes a pixel by 0.07 of 255
    levels at most in the mean."""
    on_bad_image: Literal["fail", "skip"] = "fail"
    """fail: check all images, then stop and list the bad ones; skip: leave them out and list
    them.
    """
    max_megapixels: Annotated[float, Field(gt=0)] = 100.0
    """An image with more pixels is bad: a small file can expand to gigabytes."""

    @model_validator(mode="after")
    def _fits_the_store(self) -> "ImageSettings":
        if self.stored_size and self.storage == "encoded":
            raise ValueError(
                "stored_size is for storage: pixels; encoded images keep their own size, or are"
                " shrunk to a short_side"
            )
        if self.short_side and self.storage == "pixels":
            raise ValueError(
                "short_side is for storage: encoded; pixels are stored at size, or at a stored_size"
            )
        if self.restart_markers and self.storage == "pixels":
            raise ValueError("restart_markers are for storage: encoded; pixels need no decoding")
        if self.stored_size and any(
            stored < seen for stored, seen in zip(self.stored_size, self.size, strict=True)
        ):
            raise ValueError(
                f"stored_size is {self.stored_size}, smaller than size, {self.size}; it is for"
                " storing larger images"
            )
        return self

    def storage_settings(self) -> dict[str, Any]:
        """Return the settings that decide on the bytes of a store; encoded images serve any
        size.
        """
        later = {"on_bad_image"} | (
            {"size", "resize", "channels"} if self.storage == "encoded" else set()
        )
        if not self.restart_markers:
            later.add(
                "restart_markers"
            )  # stores that were made before there was this setting are still found
        return {
            name: value for name, value in super().storage_settings().items() if name not in later
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a source, before it is read: an id unique in the set, its class number, and the
    source's own split.

    A source without a test split of its own says "train" for every image. Images of one `group`,
    such as a patient's, stay on one side of every split. `weight` is how often resampling by weight
    draws the image, relative to the others.
    """

    id: str
    label: int
    split: SplitName = "train"
    group: str | None = None
    weight: float = 1.0


class BadImage(Record):
    """An image that cannot be used."""

    id: str
    """Its path."""
    problem: str
    """What is wrong with it."""


@dataclass(frozen=True)
class Source:
    """A data set before it is stored.

    Attributes:
        classes: names in label order.
        entries: one for each image, in the order in which the store keeps them.
        read: called with an entry's place, from several threads at once: returns its pixels, uint8
            of `shape`, or the bytes of an image file; raises `ImageError` where it cannot be used.
        version: another text whenever another content may be read, such as a digest of archives, or
            of sizes and times of files.
        shape: height, width and channels of all images, for a source of pixels; None for one of
            image files.
        bad: what was found unusable before any image was read.
    """

    classes: list[str]
    entries: Sequence[Entry]
    read: Callable[[int], "numpy.ndarray | bytes"]
    version: str
    shape: tuple[int, int, int] | None = None
    bad: list[BadImage] = field(default_factory=list)
