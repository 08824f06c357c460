"""Reading stores, which are prepared data sets on disk. Light zone.

A store is a folder `<dataset>-<first 12 digits of the fingerprint>`:

    images.u8             pixels, uint8 (count, height, width, channels); or instead
    images.bin            encoded images, concatenated, and
    records.npy           their offsets and sizes: `encode.RECORD_DTYPE` (count,)
    labels.npy            int32 (count,)
    ids.npy               bytes (count,), UTF-8
    source_splits.npy     uint8 (count,): the split of each image in the source, an index into
                          `SPLITS`
    groups.npy            bytes (count,), UTF-8, if the source has groups: images of the same group
                          are assigned to the same split
    weights.npy           float32 (count,), if the source has weights
    image_statistics.npy  statistics for the audit: `image_statistics.COLUMNS` (count,)
    manifest.json         description of the content, SHA-256 of the files, and audit reports;
                          written last
    splits/<key>.npz      train, validation and test split for given data settings and seed; written
                          once and never changed

The fingerprint is the SHA-256 of the content: classes, shape, and all files but
image_statistics.npy, which is derived from them. It does not depend on time or paths, so it is the
same on every machine. `imgcls/store/writer.py` writes stores, `imgcls/store/lookup.py` finds them.

Encoded images are in a plain file with an array of offsets, so their bytes and the fingerprint do
not depend on the version of a library. Reading one of 1,281,167 records of 600 bytes at random
takes 2.6 microseconds (1.9 with 10,000 records); 2.1 (1.3) with Arrow's file format, 2.0 (0.6) with
LMDB, 33 (6) with ArrayRecord.
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
from imgcls.io.array_records import read_array
from imgcls.io.records import read_record
from imgcls.store import reader, split_file
from imgcls.store.changes import ADVICE, ChangeDetector
from imgcls.store.manifest import DataDescription, Manifest
from imgcls.store.reader import Allocate, EncodedReader, PixelReader, Reader
from imgcls.store.split_file import Split

if TYPE_CHECKING:
    import numpy

STATISTICS = "image_statistics.npy"
_ALWAYS_VERIFIED = 256 << 20
"""Size in bytes up to which the SHA-256 of a file is verified whenever the store is used, which
takes at most 0.2 s per file.
"""


@dataclass(frozen=True, eq=False)
class Store:
    """A prepared data set. Images and ids are read from disk when they are used."""

    folder: Path
    manifest: Manifest

    @cached_property
    def change_detector(self) -> ChangeDetector:
        """Notices changes of the files since the start of `verify`, or else since its first use.

        The manifest is not among them: each `prepare` and `audit` replaces it.
        """
        return ChangeDetector(self.folder / name for name in self.manifest.sizes)

    @property
    def dataset(self) -> str:
        """Name of the dataset part."""
        return self.manifest.dataset

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content: 64 hexadecimal digits."""
        return self.manifest.fingerprint

    @property
    def classes(self) -> list[str]:
        """Class names in label order."""
        return self.manifest.classes

    @property
    def count(self) -> int:
        """Number of images."""
        return self.manifest.count

    @property
    def shape(self) -> tuple[int, int, int] | None:
        """Height, width and channels of every stored image; None if images are encoded."""
        return self.manifest.shape

    def open_reader(self, geometry: Geometry, allocate: Allocate = reader.allocate_new) -> Reader:
        """Open a reader of the images.

        Args:
            geometry: of the images that it returns.
            allocate: function that allocates its results.
        """
        if self.shape is None:
            records = self._load("records.npy")
            return EncodedReader(self.folder / "images.bin", records, geometry, allocate)
        return PixelReader(self.folder / "images.u8", self.shape, geometry, allocate)

    @cached_property
    def image_statistics(self) -> "numpy.ndarray":
        """Statistics of each image, `image_statistics.COLUMNS` (count,)."""
        return self._load(STATISTICS)

    @cached_property
    def weights(self) -> "numpy.ndarray | None":
        """Weights for sampling, float32 (count,); None if the source has none."""
        return self._load_optional("weights.npy")

    @cached_property
    def groups(self) -> "numpy.ndarray | None":
        """The group of each image, bytes (count,); None if the source has none."""
        return self._load_optional("groups.npy")

    def _load_optional(self, name: str) -> "numpy.ndarray | None":
        return self._load(name) if name in self.manifest.sizes else None

    def _load(self, name: str) -> "numpy.ndarray":
        return read_array(self.folder / name, ADVICE)

    @cached_property
    def labels(self) -> "numpy.ndarray":
        """Class numbers, int32 (count,)."""
        return self._load("labels.npy")

    @cached_property
    def source_splits(self) -> "numpy.ndarray":
        """The split of each image in the source, an index into `SPLITS`, uint8 (count,)."""
        return self._load("source_splits.npy")

    def get_ids(self, indices: "numpy.ndarray") -> list[str]:
        """Return the ids of some images, with bytes that are not UTF-8 as lone surrogates."""
        return [name.decode("utf-8", "surrogateescape") for name in self.id_bytes[indices].tolist()]

    @cached_property
    def id_bytes(self) -> "numpy.ndarray":
        """The ids of all images as they are stored, bytes (count,)."""
        return self._load("ids.npy")

    def get_split_file(self, key: str) -> Path:
        """Return the path of a split's file."""
        return self.folder / "splits" / f"{key}.npz"

    def list_split_keys(self, prefix: str) -> list[str]:
        """Return the keys of all splits that begin with a prefix."""
        return sorted(path.stem for path in (self.folder / "splits").glob(f"{prefix}*.npz"))

    def read_split(self, key: str) -> Split:
        """Read a split.

        Raises:
            DataError: it is missing or damaged, or belongs to another store.
        """
        return split_file.read_split(self.get_split_file(key), key, self.count)

    def save_split(self, split: Split) -> None:
        """Write a split atomically."""
        split_file.write_split(split, self.get_split_file(split.key))

    def verify(self, max_bytes: int | None = _ALWAYS_VERIFIED) -> None:
        """Compare the files with the manifest: sizes, content, and the fingerprint.

        Args:
            max_bytes: size of the largest file whose content is compared; None to compare all,
                which takes about 1 s per GB.

        Raises:
            DataError: a file is missing, or was changed or damaged.
        """
        detector = self.change_detector  # records the state of the files before they are read
        advice = f"the store {self.folder} was changed or damaged; run `imgcls prepare` again"
        for name, size in self.manifest.sizes.items():
            path = self.folder / name
            actual_size = path.stat().st_size if path.is_file() else 0
            if actual_size != size:
                raise DataError(f"{path} has {actual_size:,} bytes instead of {size:,}: {advice}")
        for name, digest in self.manifest.sha256.items():
            compared = max_bytes is None or self.manifest.sizes[name] <= max_bytes
            if compared and files.compute_sha256(self.folder / name) != digest:
                raise DataError(f"the SHA-256 of {self.folder / name} has changed: {advice}")
        manifest = self.manifest
        fingerprint = compute_fingerprint(manifest.classes, manifest.shape, manifest.sha256)
        if fingerprint != self.fingerprint:
            raise DataError(
                f"{self.folder / 'manifest.json'} does not match its fingerprint: {advice}"
            )
        detector.require_unchanged()

    def describe(self, split: Split) -> DataDescription:
        """Return the description of a run's data."""
        import numpy

        counts = {
            name: (
                numpy.bincount(
                    self.labels[split.get_indices(name)], minlength=len(self.classes)
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
    # Always 1, so that the same content has the same fingerprint in every format of stores.
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
    """Open the store in a folder, without verifying its files.

    Raises:
        FormatError: another version of imgcls wrote it.
        DataError: the manifest is missing or damaged.
    """
    path = folder / "manifest.json"
    advice = f"delete the folder {folder} and run `imgcls prepare` again"
    if not os.path.lexists(path):
        raise DataError(f"{folder} is not a store: it has no manifest.json; {advice}")
    return Store(folder, read_record(path, Manifest, advice, old_format_advice=advice))
