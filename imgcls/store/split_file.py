"""The splits of a store, and their files. Light zone."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self, get_args

from pydantic import model_validator

from imgcls.datasets import SPLITS, SplitName
from imgcls.image.decode import Geometry, Resize
from imgcls.io.array_records import Array, ArrayRecord, NDArray, read_arrays, write_arrays
from imgcls.io.data_file import DataFile

if TYPE_CHECKING:
    import numpy

UNUSED = len(SPLITS)
"""The assignment of an image that belongs to no split."""
_SHARED_FIELDS = (*SPLITS, "mean", "std", "assignments", "folds", "dropped")
"""Fields with the same name and value in `Split` and `SplitArrays`."""


@dataclass(frozen=True, eq=False)
class Split:
    """The train, validation and test splits of a store, and statistics of the training pixels.

    Attributes:
        key: hash of the data settings and the split's sub-seed.
        train, validation, test: sorted int64 indices into the store's images; validation may be
            empty.
        mean, std: of the training pixels, float32 (channels,), in 0..255; the population std, 0 for
            a constant channel.
        geometry: of the model's input images.
        assignments: uint8 (count,), the split of each image of the store, an index into `SPLITS`,
            or `UNUSED`. Includes images left out by `data.max_images` or the audit.
        folds: int32 (count,), the fold of each image of the store, from 1; 0 for images outside the
            folds. None without `data.fold`.
        dropped: sorted int64 indices of the images that the audit dropped; None if there are none.
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
        """The number of the fold that is the test split, from 1; None without folds."""
        return (
            None
            if self.folds is None
            else int(self.folds[self.assignments == SPLITS.index("test")].max())
        )

    @property
    def assigned_count(self) -> int:
        """The number of images that are assigned to a split, used or not."""
        return int((self.assignments < UNUSED).sum())

    @property
    def sha256(self) -> str:
        """SHA-256 of the indices of all splits.

        Splits of equal stores with equal keys can differ, since images keep the split that they
        were assigned to in an earlier store.
        """
        digest = hashlib.sha256()
        for name in SPLITS:
            indices = self.get_indices(name)
            digest.update(f"{name} {len(indices)}\0".encode() + indices.astype("<i8").tobytes())
        return digest.hexdigest()

    def get_indices(self, name: SplitName) -> "numpy.ndarray":
        """Return the indices of a split by its name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


class SplitArrays(ArrayRecord):
    """The arrays of a split's file."""

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
    """The split of each image of the store, an index into `SPLITS`, or `UNUSED`."""
    folds: Annotated[NDArray, Array("int32", "images")] | None = None
    """The fold of each image of the store, from 1; 0 for images outside the folds."""
    dropped: Annotated[NDArray, Array("int64", "dropped")] | None = None
    """Sorted indices of the images that the audit dropped."""
    shape: Annotated[NDArray, Array("int64", 3)]
    """Height, width and channels of the model's input images, in pixels."""
    resize: Annotated[NDArray, Array("U")]
    """How images are resized to that shape."""
    sha256: Annotated[NDArray, Array("U")]
    """SHA-256 of the other arrays: 64 hexadecimal digits."""

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if self.sha256.item() != _compute_digest(dict(self)):
            raise ValueError("sha256 is not that of the other arrays")
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
    """Read a split.

    Args:
        count: number of images in the store.

    Raises:
        DataError: it is missing or damaged, or belongs to another store.
    """
    advice = "run `imgcls prepare` again"
    arrays = read_arrays(path, SplitArrays, advice)
    if len(arrays.assignments) != count:
        problem = f"it is of {len(arrays.assignments):,} images, but the store has {count:,}"
        raise DataFile(path, advice).make_damage_error(problem)
    return Split(
        key,
        **{name: getattr(arrays, name) for name in _SHARED_FIELDS},
        geometry=Geometry(tuple(arrays.shape.tolist()), arrays.resize.item()),
    )


def write_split(split: Split, path: Path) -> None:
    """Write a split atomically."""
    import numpy

    arrays = {
        **{name: getattr(split, name) for name in _SHARED_FIELDS},
        "shape": numpy.array(split.geometry.shape),
        "resize": numpy.array(split.geometry.resize),
    }
    write_arrays(path, SplitArrays(**arrays, sha256=numpy.array(_compute_digest(arrays))))


def _compute_digest(arrays: "dict[str, numpy.ndarray | None]") -> str:
    """Return the SHA-256 of the arrays, but for `sha256` and those that are None."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        if array is not None and name != "sha256":
            digest.update(f"{name} {array.dtype.str} {array.shape}\0".encode() + array.tobytes())
    return digest.hexdigest()
