"""The store: a data set as prepared on disk, opened for reading. Light zone.

A store is a folder `<dataset>-<first 12 digits of the fingerprint>`:

    images.u8             pixels, uint8 (count, height, width, channels), memory-mapped; or instead
    images.bin            encoded images, one behind the other, and
    records.npy           where each lies and how large it is: `encode.RECORD_DTYPE` (count,)
    labels.npy            int32 (count,)
    ids.npy               bytes (count,), UTF-8, memory-mapped
    source_splits.npy     uint8 (count,): the split that the source gave each image, an index into
                          `SPLITS`
    groups.npy            bytes (count,), UTF-8, where the source groups its images: those of one
                          group stay in one split
    weights.npy           float32 (count,), where the source weighs its images
    image_statistics.npy  measures for the audit: `image_statistics.COLUMNS` (count,)
    manifest.json         what the files hold, with their SHA-256, and the audit of each split;
                          written last
    splits/<key>.npz      train, validation and test, one for each (data settings, seed); written
                          once and never assigned again

The fingerprint is the SHA-256 of the content alone (classes, shape, and all files but
image_statistics.npy, which is made of them): neither time nor path enters, so it is the same on
every machine. `imgcls/store/writer.py` writes stores, `imgcls/store/lookup.py` finds them.

Plain files and an array of offsets were chosen for encoded images after a comparison over 1,281,167
records of 600 bytes, read at random: 2.6 microseconds a record, and 1.9 of 10,000 records; 2.1
(1.3) with Arrow's file format, 2.0 (0.6) with LMDB, 33 (6) with ArrayRecord. Their bytes do not
depend on a library's version, so that one content has one fingerprint.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls.datasets import SPLITS
from imgcls.errors import DataError
from imgcls.image.decode import Geometry
from imgcls.io import files
from imgcls.io.records import read_record
from imgcls.store import reader, split_file
from imgcls.store.manifest import DataDescription, Manifest
from imgcls.store.reader import Allocate, EncodedReader, PixelReader, Reader
from imgcls.store.split_file import Split

if TYPE_CHECKING:
    import numpy

STATISTICS = "image_statistics.npy"
_ALWAYS_READ = 256 << 20
"""Files of up to so many bytes are compared with their SHA-256 whenever a store is used, which
costs a fifth of a second at most each.
"""


@dataclass(frozen=True, eq=False)
class Store:
    """A prepared data set. Images and ids stay on disk and are read as they are used."""

    folder: Path
    manifest: Manifest

    @property
    def dataset(self) -> str:
        """The name of the dataset part."""
        return self.manifest.dataset

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that stand for the content."""
        return self.manifest.fingerprint

    @property
    def classes(self) -> list[str]:
        """Class names in label order."""
        return self.manifest.classes

    @property
    def count(self) -> int:
        """The number of images."""
        return self.manifest.count

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels of every stored image; None for encoded ones."""
        return self.manifest.shape

    def reader(self, geometry: Geometry, allocate: Allocate = reader.allocate_new) -> Reader:
        """Return what reads the images at a geometry, into arrays that `allocate` makes; they stay
        memory-mapped.
        """
        import numpy

        if self.shape is None:
            return EncodedReader(
                self.folder / "images.bin",
                numpy.load(self.folder / "records.npy"),
                geometry,
                allocate,
            )
        stored = numpy.memmap(
            self.folder / "images.u8", numpy.uint8, mode="r", shape=(self.count, *self.shape)
        )
        return PixelReader(
            numpy.asarray(stored), geometry, allocate
        )  # an array of the mapped file: a memmap object for every batch costs time

    @cached_property
    def image_statistics(self) -> "numpy.ndarray":
        """Measures of each image, `image_statistics.COLUMNS` (count,)."""
        import numpy

        return numpy.load(self.folder / STATISTICS)

    @cached_property
    def weights(self) -> "numpy.ndarray | None":
        """How often sampling by weight draws each image, float32 (count,); None where the source
        says nothing of it.
        """
        return self._optional("weights.npy")

    @cached_property
    def groups(self) -> "numpy.ndarray | None":
        """The group of each image, bytes (count,); None where the source has none."""
        return self._optional("groups.npy")

    def _optional(self, name: str) -> "numpy.ndarray | None":
        import numpy

        return numpy.load(self.folder / name) if name in self.manifest.sizes else None

    @cached_property
    def labels(self) -> "numpy.ndarray":
        """Class numbers, int32 (count,)."""
        import numpy

        return numpy.load(self.folder / "labels.npy")

    @cached_property
    def source_splits(self) -> "numpy.ndarray":
        """The split that the source gave each image, an index into `SPLITS`, uint8 (count,)."""
        import numpy

        return numpy.load(self.folder / "source_splits.npy")

    def ids(self, indices: "numpy.ndarray") -> list[str]:
        """Return the ids of some images; a file name that is not UTF-8 keeps its bytes as lone
        surrogates, as `os.fsdecode` does.
        """
        return [name.decode("utf-8", "surrogateescape") for name in self.id_bytes[indices].tolist()]

    @property
    def id_bytes(self) -> "numpy.ndarray":
        """The ids of all images as they are stored, bytes (count,), memory-mapped."""
        import numpy

        return numpy.load(self.folder / "ids.npy", mmap_mode="r")

    def split_file(self, key: str) -> Path:
        """Return the path of a split."""
        return self.folder / "splits" / f"{key}.npz"

    def split_keys(self, start: str) -> list[str]:
        """Return the names of the splits that begin with `start`."""
        return sorted(path.stem for path in (self.folder / "splits").glob(f"{start}*.npz"))

    def split(self, key: str) -> Split:
        """Read a split.

        Raises:
            DataError: it is missing or damaged, or of another store.
        """
        return split_file.read_split(self.split_file(key), key, self.count)

    def save_split(self, split: Split) -> None:
        """Write a split atomically."""
        split_file.write_split(split, self.split_file(split.key))

    def verify(self, whole: bool = False) -> None:
        """Compare the files with the manifest: all sizes, the content of files up to 256 MiB, or of
        all, and the fingerprint over all.

        Args:
            whole: whether large files are read, too; it takes about a second for each GB.

        Raises:
            DataError: a file is missing, or its content is not what was prepared.
        """
        advice = f"the store {self.folder} was changed or damaged; run `imgcls prepare` again"
        for name, size in self.manifest.sizes.items():
            path = self.folder / name
            found = path.stat().st_size if path.is_file() else 0
            if found != size:
                raise DataError(f"{path} has {found:,} bytes instead of {size:,}: {advice}")
        for name, digest in self.manifest.sha256.items():
            small = self.manifest.sizes[name] <= _ALWAYS_READ
            if (whole or small) and files.compute_sha256(self.folder / name) != digest:
                raise DataError(
                    f"{self.folder / name} holds other bytes than were prepared: {advice}"
                )
        manifest = self.manifest
        fingerprint = compute_fingerprint(manifest.classes, manifest.shape, manifest.sha256)
        if fingerprint != self.fingerprint:
            raise DataError(
                f"{self.folder / 'manifest.json'} does not fit its fingerprint: {advice}"
            )

    def describe(self, split: Split) -> DataDescription:
        """Return what a run keeps of its data."""
        import numpy

        counts = {
            name: (
                numpy.bincount(
                    self.labels[split.indices(name)], minlength=len(self.classes)
                ).tolist()
            )
            for name in SPLITS
        }
        return DataDescription(
            dataset=self.dataset,
            fingerprint=self.fingerprint,
            split=split.key,
            split_sha256=split.sha256,
            classes=self.classes,
            shape=split.geometry.shape,
            sizes={name: sum(counts[name]) for name in SPLITS},
            class_counts=counts,
            mean=split.mean.tolist(),
            std=split.std.tolist(),
        )


def compute_fingerprint(
    classes: list[str], shape: tuple[int, int, int] | None, sha256: dict[str, str]
) -> str:
    """Return the fingerprint of a store's content.

    Args:
        sha256: of each file, by its name.
    """
    content = {name: digest for name, digest in sha256.items() if name != STATISTICS}
    # The format of the manifest does not count, so 1 stays: the same content has the same
    # fingerprint in every version.
    return hash_json({"format": 1, "classes": classes, "shape": shape, "sha256": content})


def hash_json(value: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def get_store_folder(parent: Path, dataset: str, fingerprint: str) -> Path:
    """Return the folder of a store."""
    return parent / f"{dataset}-{fingerprint[:12]}"


def open_store(folder: Path) -> Store:
    """Open a store by its folder, without a look at the images.

    Raises:
        FormatError: another version of imgcls wrote it.
        DataError: the manifest is missing or damaged.
    """
    path = folder / "manifest.json"
    advice = f"delete the folder {folder} and run `imgcls prepare` again"
    if not os.path.lexists(path):
        raise DataError(f"{folder} is not a store: it has no manifest.json; {advice}")
    return Store(folder, read_record(path, Manifest, advice, old_format_advice=advice))
