"""Data sets: each file holds `Settings` (a `DataSettings`) and `prepare(settings) -> Source`.

A `Source` lists the classes and an `Entry` for each image, and reads the image of any entry: as
pixels if all images have one shape, else as the bytes of an image file (see `ImageSettings`).
`imgcls/store/writer.py` reads entries in parallel and stores them; `imgcls/split/assign.py` splits
the store.

Light zone.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from imgcls import parts
from imgcls.checks import CheckSettings
from imgcls.image.decode import Resize
from imgcls.io.records import Record
from imgcls.parts import PartOf, PartSettings, make_all_default_settings
from imgcls.short_forms import OneMeans, Percentage

if TYPE_CHECKING:
    import numpy

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")

MAX_WEIGHT = 3.4e38
"""Weights are stored as float32."""

SideLength = Annotated[int, Field(ge=1, le=16_384)]
Size = Annotated[list[SideLength], Field(min_length=2, max_length=2), OneMeans(2)]
"""Height and width."""
_FOLD = re.compile(r"[1-9][0-9]*/[1-9][0-9]*")


class DataSettings(PartSettings):
    """The settings of every data set."""

    store_dir: str = "data"
    """The folder that holds prepared stores and downloads."""
    validation: Annotated[float, Field(ge=0, lt=1), Percentage()] = 0.1
    """Fraction of the training images held out for selecting the model, if the source has no
    validation split of its own."""
    test: Annotated[float, Field(gt=0, lt=1), Percentage()] = 0.2
    """Fraction of all images held out for the final evaluation, if the source has no test split of
    its own."""
    fold: str | None = None
    """K/N, such as 2/5: the training images are divided into N folds, and fold K becomes the test
    split; `test` and the source's own test split are ignored."""
    splits_file: str | None = None
    """A CSV file with the header id,split that assigns every image to train, validation, test or
    unused; `imgcls prepare --splits` writes one. It overrides `test`, `validation` and the source's
    own splits."""
    split_seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Seed of the split assignment; the experiment's seed unless given. Runs with other seeds then
    share one split."""
    max_images: Annotated[int, Field(ge=1, lt=2**63)] | None = None
    """Largest number of images in each split, stratified by class: for quick runs."""
    audit: Annotated[list[Annotated[CheckSettings, PartOf("checks")]], OneMeans()] = Field(
        default_factory=lambda: make_all_default_settings("checks")
    )
    """Checks of the data, files of imgcls/checks, in the order in which they run, each with its
    policy; by default all of them."""

    @field_validator("fold")
    @classmethod
    def _check_fold(cls, value: str | None) -> str | None:
        number, count = _parse_fold(value) if value and _FOLD.fullmatch(value) else (0, 0)
        if value is not None and not (count >= 2 and number <= count):
            raise ValueError(
                "needs the form K/N with whole numbers, 1 <= K <= N and N >= 2, such as 2/5; got"
                f" '{value}'"
            )
        return value

    @field_validator("audit")
    @classmethod
    def _require_unique_checks(cls, value: list[CheckSettings]) -> list[CheckSettings]:
        return parts.require_unique(value, "give each check once")

    @model_validator(mode="after")
    def _require_one_way_to_split(self) -> "DataSettings":
        if self.fold and self.splits_file:
            raise ValueError(
                f"fold ({self.fold}) and splits_file ({self.splits_file}) both decide the splits;"
                " give only one of them"
            )
        return self

    @property
    def fold_numbers(self) -> tuple[int, int] | None:
        """K, from 1, and N of `fold`; None without `fold`."""
        return _parse_fold(self.fold) if self.fold else None

    def get_storage_settings(self) -> dict[str, Any]:
        """Return the settings that determine the bytes of a store; the others apply to its use."""
        return self.model_dump(
            exclude={
                "store_dir",
                "offline",
                "validation",
                "test",
                "fold",
                "splits_file",
                "split_seed",
                "max_images",
                "audit",
            }
        )

    def identity(self) -> dict[str, Any]:
        """Return the settings that can change a number, apart from the seed of the split."""
        return self.model_dump(exclude={"store_dir", "offline", "split_seed"})

    def get_assignment_settings(self) -> dict[str, Any]:
        """Return the settings that determine which split an image belongs to.

        Image size, `max_images` and the number of the test fold move no image between splits.
        """
        own = set(type(self).model_fields) - set(ImageSettings.model_fields) - {"offline"}
        settings = self.model_dump(
            include=own | {"name", "validation", "test", "splits_file"}, exclude_none=True
        )
        return settings | ({"folds": self.fold_numbers[1]} if self.fold_numbers else {})


def _parse_fold(fold: str) -> tuple[int, int]:
    number, count = map(int, fold.split("/"))
    return number, count


class ImageSettings(DataSettings):
    """The settings of data sets of image files, which imgcls/image/decode.py turns into pixels."""

    size: Size = [64, 64]
    """Height and width of every image as the model sees it; one number for both."""
    resize: Resize = "pad"
    """pad: the whole image, with black bars; crop: the center, which fills the size; stretch: the
    whole image, without its aspect ratio."""
    channels: Literal[1, 3, 4] | None = None
    """1: grayscale; 3: RGB; 4: RGB and transparency. By default 1 if every image is grayscale, else
    3; the choice is printed."""
    storage: Literal["pixels", "encoded"] = "pixels"
    """pixels: all images decoded, at one size, for small images; encoded: image files of any size,
    decoded when they are needed."""
    stored_size: Size | None = None
    """Height and width of stored pixels, for augmentations that crop from images larger than
    `size`."""
    short_side: SideLength | None = None
    """Encoded images with a longer short side are shrunk to this many pixels and saved as JPEG of
    quality 95; by default files are stored as they are."""
    restart_markers: bool = False
    """Encode plain JPEGs again with restart markers, so that they are cropped before they are
    decoded: that saves a quarter of the time, and changes pixels by at most 0.07 of 255 levels on
    average."""
    on_bad_image: Literal["fail", "skip"] = "fail"
    """fail: check all images, list the bad ones and stop; skip: list them and leave them out."""
    max_megapixels: Annotated[float, Field(gt=0)] = 100.0
    """An image with more pixels counts as bad: a small file can expand to gigabytes."""

    @model_validator(mode="after")
    def _check_storage(self) -> "ImageSettings":
        if self.stored_size and self.storage == "encoded":
            raise ValueError(
                "stored_size needs storage: pixels; encoded images keep their own size, or are"
                " shrunk to short_side"
            )
        if self.short_side and self.storage == "pixels":
            raise ValueError(
                "short_side needs storage: encoded; pixels are stored at size, or at stored_size"
            )
        if self.restart_markers and self.storage == "pixels":
            raise ValueError(
                "restart_markers needs storage: encoded; stored pixels need no decoding"
            )
        if self.stored_size and any(
            stored < seen for stored, seen in zip(self.stored_size, self.size, strict=True)
        ):
            raise ValueError(
                f"stored_size {self.stored_size} is smaller than size {self.size}; make it at"
                " least as large, or leave it out"
            )
        return self

    def get_storage_settings(self) -> dict[str, Any]:
        """Return the settings that determine the bytes of a store; encoded images suit any size."""
        later = {"on_bad_image"} | (
            {"size", "resize", "channels"} if self.storage == "encoded" else set()
        )
        if not self.restart_markers:
            # Stores that were made before this setting existed are still found.
            later.add("restart_markers")
        return {
            name: value
            for name, value in super().get_storage_settings().items()
            if name not in later
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """One image of a source, before it is read.

    Attributes:
        id: unique in the data set.
        label: class number.
        split: the source's own; "train" if the source has no splits.
        group: images of one group, such as those of a patient, stay in one split.
        weight: how often sampling by weight draws the image, relative to the others.
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
        entries: one for each image, in the order of the store.
        read: returns the image of the entry at an index: uint8 pixels of `shape`, or the bytes of
            an image file; raises `ImageError` if it cannot be used. Called from several threads.
        version: a text that changes whenever the content may have changed, such as a digest of
            archives, or of the sizes and times of files.
        shape: height, width and channels of all images, for a source of pixels; None for image
            files.
        bad: images that were found unusable before any was read.
        empty_splits: the splits that the source has, but for which there is no entry, each with the
            reason; imgcls/split/source_splits.py makes them an error, unless they are replaced.
    """

    classes: list[str]
    entries: Sequence[Entry]
    read: Callable[[int], "numpy.ndarray | bytes"]
    version: str
    shape: tuple[int, int, int] | None = None
    bad: list[BadImage] = field(default_factory=list)
    empty_splits: dict[SplitName, str] = field(default_factory=dict)
