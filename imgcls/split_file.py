"""A cut of a store into splits, and its file. Light zone."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from imgcls import files
from imgcls.datasets import SPLITS, SplitName
from imgcls.errors import DataError
from imgcls.images import Geometry, Resize

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True, eq=False)
class Split:
    """A cut of a store into splits, how the model sees its images, and the statistics that the model's preprocessing needs.

    Attributes:
        key: hash of the data settings and the split's sub-seed.
        train, validation, test: sorted int64 indices into the store's images; validation may be empty.
        mean, deviation: float32 (channels,) of the training pixels, in 0..255; population deviation, 0 for a constant channel.
        geometry: what the model sees of every image.
    """

    key: str
    train: "numpy.ndarray"
    validation: "numpy.ndarray"
    test: "numpy.ndarray"
    mean: "numpy.ndarray"
    deviation: "numpy.ndarray"
    geometry: Geometry

    def indices(self, name: SplitName) -> "numpy.ndarray":
        """Return the indices of a split by its name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]


def read(path: Path, key: str) -> Split:
    """Read a split.

    Raises:
        DataError: it is missing or damaged.
    """
    import numpy

    try:
        with path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as arrays:
            geometry = _geometry(arrays["shape"].tolist(), str(arrays["resize"]))
            return Split(key, **{name: arrays[name] for name in (*SPLITS, "mean", "deviation")}, geometry=geometry)
    except FileNotFoundError:
        raise DataError(f"{path} is missing; run `imgcls prepare` again") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        raise DataError(f"{path} is damaged; run `imgcls prepare` again") from None


def write(split: Split, path: Path) -> None:
    """Write a split atomically."""
    import numpy

    arrays = {name: getattr(split, name) for name in (*SPLITS, "mean", "deviation")}
    arrays |= {"shape": numpy.array(split.geometry.shape), "resize": numpy.array(split.geometry.resize)}
    with files.replacing(path) as stream:
        numpy.savez(stream, **arrays)


def _geometry(shape: list[int], resize: str) -> Geometry:
    """Return a geometry as it was saved; raises `ValueError` where it is none."""
    if len(shape) != 3 or resize not in get_args(Resize):
        raise ValueError(f"{shape}, {resize}")
    return Geometry(tuple(shape), resize)
