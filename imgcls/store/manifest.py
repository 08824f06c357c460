"""Models of a store's manifest.json and a run's data.json. Light zone."""

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
                f"class_counts.{name} has {len(numbers)} classes, but there are {len(classes)}"
            )


class Manifest(VersionedRecord):
    """The manifest of a store, which describes the content of its files."""

    SUBJECT: ClassVar[str] = "a store"
    FORMAT: ClassVar[Literal[5]] = 5

    format: Literal[5]
    """Format of all files of the store."""
    dataset: str
    """Name of the dataset part."""
    classes: Annotated[list[str], Field(min_length=1)]
    """Class names in label order."""
    shape: Shape | None
    """Height, width and channels of every image, in pixels; null if images are encoded."""
    count: Annotated[int, Field(ge=1)]
    """Number of images."""
    class_counts: ClassCounts
    """Number of images of each class, in label order, for each split defined by the source."""
    bad_images: list[BadImage]
    """Images that cannot be used, which are not in the store."""
    prepared: str
    """Time of the last preparation, UTC, in ISO 8601."""
    source: str
    """Hash of the source and the storage settings: 16 hexadecimal digits."""
    audits: dict[str, AuditReport]
    """Audit report of each split, by the split's key."""
    sizes: dict[str, Count]
    """Size of each file, in bytes."""
    sha256: dict[str, Sha256]
    """SHA-256 of each file."""
    fingerprint: Sha256
    """SHA-256 of classes, shape and files, which identifies the content."""

    @model_validator(mode="after")
    def _require_consistency(self) -> Self:
        _require_count_of_each_class(self.class_counts, self.classes)
        if self.sizes.keys() != self.sha256.keys():
            raise ValueError("sizes and sha256 do not list the same files")
        return self


class DataDescription(Record):
    """The data that a run is trained on."""

    dataset: str
    """Name of the dataset part."""
    fingerprint: Sha256
    """Fingerprint of the store."""
    split: str
    """Key of the split: 16 hexadecimal digits."""
    split_sha256: Sha256
    """SHA-256 of the split assignment."""
    classes: Annotated[list[str], Field(min_length=1)]
    """Class names in label order."""
    shape: Shape
    """Height, width and channels of the model's input images, in pixels."""
    sizes: Counts
    """Number of images in each split."""
    class_counts: ClassCounts
    """Number of images of each class, in label order, in each split."""
    mean: list[float]
    """Mean of the training pixels per channel, in 0..255."""
    std: list[float]
    """Standard deviation of the training pixels per channel, in 0..255."""

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
                f"mean and std have {len(self.mean)} and {len(self.std)} channels, but shape is"
                f" {list(self.shape)}"
            )
        return self
