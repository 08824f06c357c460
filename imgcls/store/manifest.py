"""What a store says of itself in manifest.json, and a run of its data in data.json. Light zone."""

from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator

from imgcls.audit.audit_report import AuditReport
from imgcls.datasets import SPLITS, BadImage, SplitName
from imgcls.io.records import Record, Shape, VersionedRecord

Value = TypeVar("Value")


def _require_each_split(values: dict[SplitName, Value]) -> dict[SplitName, Value]:
    if missing := [name for name in SPLITS if name not in values]:
        raise ValueError(f"{missing[0]} is missing")
    return values


Count = Annotated[int, Field(ge=0)]
Counts = Annotated[dict[SplitName, Count], AfterValidator(_require_each_split)]
ClassCounts = Annotated[dict[SplitName, list[Count]], AfterValidator(_require_each_split)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _require_count_of_each_class(counts: ClassCounts, classes: list[str]) -> None:
    for name, numbers in counts.items():
        if len(numbers) != len(classes):
            raise ValueError(
                f"class_counts.{name} is of {len(numbers)} classes, but there are {len(classes)}"
            )


class Manifest(VersionedRecord):
    """What the files of a store hold."""

    SUBJECT: ClassVar[str] = "a store"
    FORMAT: ClassVar[Literal[3]] = 3

    format: Literal[3]
    """The format of all files of the store."""
    dataset: str
    """The name of the dataset part."""
    classes: Annotated[list[str], Field(min_length=1)]
    """Class names in label order."""
    shape: Shape | None
    """Height, width and channels of every image, in pixels; null where images are encoded."""
    count: Annotated[int, Field(ge=1)]
    """Images in the store."""
    class_counts: ClassCounts
    """Images of each class, in label order, for each split that the source gives them."""
    bad_images: list[BadImage]
    """Images that cannot be used, which the store leaves out."""
    prepared: str
    """When the data was prepared last: UTC, ISO 8601."""
    source: str
    """Stands for the source and the settings that the store was made of: 16 hexadecimal digits."""
    audits: dict[str, AuditReport]
    """What the audit of each split found, by the split's key."""
    sizes: dict[str, Count]
    """The size of each file, in bytes."""
    sha256: dict[str, Sha256]
    """The SHA-256 of each file."""
    fingerprint: Sha256
    """Stands for the content: a SHA-256 of classes, shape and files."""

    @model_validator(mode="after")
    def _require_consistency(self) -> Self:
        _require_count_of_each_class(self.class_counts, self.classes)
        if self.sizes.keys() != self.sha256.keys():
            raise ValueError("sizes and sha256 name other files")
        return self


class DataDescription(Record):
    """The data that a run is trained on."""

    dataset: str
    """The name of the dataset part."""
    fingerprint: Sha256
    """The fingerprint of the store."""
    split: str
    """The key of the split: 16 hexadecimal digits."""
    split_sha256: Sha256
    """The SHA-256 of which images are in which split."""
    classes: Annotated[list[str], Field(min_length=1)]
    """Class names in label order."""
    shape: Shape
    """Height, width and channels of an image as the model sees it, in pixels."""
    sizes: Counts
    """Images of each split."""
    class_counts: ClassCounts
    """Images of each class, in label order, in each split."""
    mean: list[float]
    """Mean of the training pixels for each channel, in 0..255."""
    std: list[float]
    """Standard deviation of the training pixels for each channel, in 0..255."""

    @model_validator(mode="after")
    def _require_consistency(self) -> Self:
        _require_count_of_each_class(self.class_counts, self.classes)
        for name, numbers in self.class_counts.items():
            if sum(numbers) != self.sizes[name]:
                raise ValueError(
                    f"sizes.{name} is {self.sizes[name]:,}, but class_counts has {sum(numbers):,}"
                )
        if not len(self.mean) == len(self.std) == self.shape[2]:
            raise ValueError(
                f"mean and std are of {len(self.mean)} and {len(self.std)} channels, but shape is"
                f" {list(self.shape)}"
            )
        return self
