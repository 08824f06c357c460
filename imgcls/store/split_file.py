"""A cut of a store into splits, and its file. Light zone."""

import hashlib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from imgcls.datasets import SPLITS, SplitName
from imgcls.errors import DataError
from imgcls.image.decode import Geometry, Resize
from imgcls.io import files

if TYPE_CHECKING:
    import numpy

UNUSED = len(SPLITS)
"""Stands behind the places in `SPLITS`: an image that belongs to no split."""
_OPTIONAL = ("folds", "dropped")


@dataclass(frozen=True, eq=False)
class Split:
    """A cut of a store into splits, how the model sees its images, and the statistics that the
    model's preprocessing needs.

    Attributes:
        key: hash of the data settings and the split's sub-seed.
        train, validation, test: sorted int64 indices into the store's images; validation may be
            empty.
        mean, deviation: float32 (channels,) of the training pixels, in 0..255; population
            deviation, 0 for a constant channel.
        geometry: what the model sees of every image.
        sides: uint8 (images of the store,): the place in `SPLITS` of the split to which an image
            belongs, used or not: `data.max_images` and the audit leave some of them out; `UNUSED`
            for one that belongs to none.
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
        """SHA-256 of which images are used in which split: two cuts of one store with one key may
        differ, since images keep their sides.
        """
        digest = hashlib.sha256()
        for name in SPLITS:
            indices = self.indices(name)
            digest.update(f"{name} {len(indices)}\0".encode() + indices.astype("<i8").tobytes())
        return digest.hexdigest()

    def indices(self, name: SplitName) -> "numpy.ndarray":
        """Return the indices of a split by its name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def read_split(path: Path, key: str) -> Split:
    """Read a split.

    Raises:
        DataError: it is missing or damaged.
    """
    import numpy

    try:
        with path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as arrays:
            geometry = _parse_geometry(arrays["shape"].tolist(), str(arrays["resize"]))
            found = {name: arrays[name] for name in (*SPLITS, "mean", "std", "assignments")}
            return Split(
                key, **found, geometry=geometry, **{name: arrays.get(name) for name in _OPTIONAL}
            )
    except FileNotFoundError:
        raise DataError(f"{path} is missing; run `imgcls prepare` again") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise DataError(f"{path} is damaged; run `imgcls prepare` again") from None


def write_split(split: Split, path: Path) -> None:
    """Write a split atomically."""
    import numpy

    arrays = {name: getattr(split, name) for name in (*SPLITS, "mean", "std", "assignments")}
    arrays |= {name: getattr(split, name) for name in _OPTIONAL if getattr(split, name) is not None}
    arrays |= {
        "shape": numpy.array(split.geometry.shape),
        "resize": numpy.array(split.geometry.resize),
    }
    with files.replace_file(path) as stream:
        numpy.savez(stream, **arrays)


def _parse_geometry(shape: list[int], resize: str) -> Geometry:
    """Return a geometry as it was saved; raises `ValueError` where it is none."""
    if len(shape) != 3 or resize not in get_args(Resize):
        raise ValueError(f"{shape}, {resize}")
    return Geometry(tuple(shape), resize)
