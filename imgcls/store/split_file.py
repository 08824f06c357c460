"""Which images of a store are in which split, and the file of that. Light zone."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, get_args

from pydantic import model_validator

from imgcls.datasets import SPLITS, SplitName
from imgcls.image.decode import Geometry, Resize
from imgcls.io.array_records import Array, ArrayRecord, NDArray, read_arrays, write_arrays
from imgcls.io.records import DataFile

if TYPE_CHECKING:
    import numpy

UNUSED = len(SPLITS)
"""Follows the indices into `SPLITS`: an image that belongs to no split."""
_SAME = (*SPLITS, "mean", "std", "assignments", "folds", "dropped")
"""The fields that `Split` and `SplitArrays` share."""


@dataclass(frozen=True, eq=False)
class Split:
    """Which images of a store are in which split, how the model sees them, and the statistics that
    the model's preprocessing needs.

    Attributes:
        key: hash of the data settings and the split's sub-seed.
        train, validation, test: sorted int64 indices into the store's images; validation may be
            empty.
        mean, std: float32 (channels,) of the training pixels, in 0..255; the std of the
            population, 0 for a constant channel.
        geometry: what the model sees of every image.
        assignments: uint8 (images of the store,): the split to which an image belongs, an index
            into `SPLITS`, used or not: `data.max_images` and the audit leave some of them out;
            `UNUSED` for one that belongs to none.
        folds: int32 (images of the store,): the fold of an image, from 1 on, 0 for one outside the
            folds; None without `data.fold`.
        dropped: sorted int64 indices of the images that the audit left out; None where it left out
            none.
    """

    key: str
    train: "numpy.ndarray"
    validation: "numpy.ndarray"
    test: "numpy.ndarray"
    mean: "numpy.ndarray"
    std: "numpy.ndarray"
    geometry: Geometry
    assignments: "numpy.ndarray"
    folds: "numpy.ndarray | None" = None
    dropped: "numpy.ndarray | None" = None

    @property
    def test_fold(self) -> int | None:
        """The number of the fold that is the test split, from 1 on; None without folds."""
        return (
            None
            if self.folds is None
            else int(self.folds[self.assignments == SPLITS.index("test")].max())
        )

    @property
    def assigned_count(self) -> int:
        """How many images belong to a split, used or not."""
        return int((self.assignments < UNUSED).sum())

    @property
    def sha256(self) -> str:
        """SHA-256 of which images are used in which split: two splits of one store with one key
        may differ, since images stay in the split that they were in before.
        """
        digest = hashlib.sha256()
        for name in SPLITS:
            indices = self.indices(name)
            digest.update(f"{name} {len(indices)}\0".encode() + indices.astype("<i8").tobytes())
        return digest.hexdigest()

    def indices(self, name: SplitName) -> "numpy.ndarray":
        """Return the indices of a split by its name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


class SplitArrays(ArrayRecord):
    """The file of a split."""

    train: Annotated[NDArray, Array("int64", "train")]
    """Sorted indices into the store's images."""
    validation: Annotated[NDArray, Array("int64", "validation")]
    """Sorted indices into the store's images."""
    test: Annotated[NDArray, Array("int64", "test")]
    """Sorted indices into the store's images."""
    mean: Annotated[NDArray, Array("float32", "channels")]
    """Mean of the training pixels, in 0..255."""
    std: Annotated[NDArray, Array("float32", "channels")]
    """Population standard deviation of the training pixels, in 0..255."""
    assignments: Annotated[NDArray, Array("uint8", "images")]
    """The split that each image of the store belongs to, an index into `SPLITS`, or `UNUSED`."""
    folds: Annotated[NDArray, Array("int32", "images")] | None = None
    """The fold of each image of the store, from 1; 0 for one outside the folds."""
    dropped: Annotated[NDArray, Array("int64", "dropped")] | None = None
    """Sorted indices of the images that the audit left out."""
    shape: Annotated[NDArray, Array("int64", 3)]
    """Height, width and channels of an image as the model sees it, in pixels."""
    resize: Annotated[NDArray, Array("U")]
    """How images are resized to that shape."""

    @model_validator(mode="after")
    def _require_sound_values(self) -> Self:
        count = len(self.assignments)
        for name in (*SPLITS, "dropped"):
            indices = getattr(self, name)
            if indices is not None and len(indices) and not 0 <= indices[0] <= indices[-1] < count:
                raise ValueError(f"{name} holds indices of more than {count:,} images")
        if self.shape[2] != len(self.mean):
            raise ValueError(
                f"mean has {len(self.mean)} channels, but an image has {self.shape[2]}"
            )
        if str(self.resize) not in get_args(Resize):
            raise ValueError(f"resize should be one of {', '.join(get_args(Resize))}")
        return self


def read_split(path: Path, key: str, count: int) -> Split:
    """Read a split of a store of so many images.

    Raises:
        DataError: it is missing or damaged, or of another store.
    """
    advice = "run `imgcls prepare` again"
    found = read_arrays(path, SplitArrays, advice)
    if len(found.assignments) != count:
        problem = f"it is of {len(found.assignments):,} images, but the store has {count:,}"
        raise DataFile(path, advice).make_damage_error(problem)
    return Split(
        key,
        **{name: getattr(found, name) for name in _SAME},
        geometry=Geometry(tuple(found.shape.tolist()), found.resize.item()),
    )


def write_split(split: Split, path: Path) -> None:
    """Write a split atomically."""
    import numpy

    write_arrays(
        path,
        SplitArrays(
            **{name: getattr(split, name) for name in _SAME},
            shape=numpy.array(split.geometry.shape),
            resize=numpy.array(split.geometry.resize),
        ),
    )
