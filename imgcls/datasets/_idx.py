"""Data sets in MNIST's IDX format: four files, gzipped or not. Light zone.

Format: two zero bytes, the type (8: unsigned byte), the number of dimensions, each dimension as a
big-endian 32-bit number, the data (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/).
"""

import gzip
import hashlib
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from imgcls.datasets import DataSettings, Entry, Source, SplitName, _concatenated
from imgcls.errors import DataError
from imgcls.io import downloads, terminal

if TYPE_CHECKING:
    import numpy

FILES: dict[SplitName, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}

_MAX_BYTES = 1 << 26
"""Largest size of a gzip file, in bytes: the largest content has 47 MB."""


class IdxSettings(DataSettings):
    """The settings of data sets of IDX files."""

    path: str | None = None
    """The folder that holds the four files, with or without .gz; by default they are downloaded
    into `store_dir`."""
    offline: bool = False
    """Never download: a missing file is an error that says where to put it."""


@dataclass(frozen=True)
class IdxFiles:
    """A published data set: title, mirrors, classes, and the SHA-256 of each uncompressed file."""

    title: str
    mirrors: tuple[str, ...]
    sha256: dict[str, str]
    classes: list[str]


class IdxSplit(NamedTuple):
    """One split: uint8 images (count, height, width), labels (count,), and the files' SHA-256."""

    images: "numpy.ndarray"
    labels: "numpy.ndarray"
    digests: str


def prepare(settings: IdxSettings, published: IdxFiles) -> Source:
    """Read the training and test splits.

    Raises:
        DataError: a file is missing, damaged, not IDX, does not fit the others, or cannot be
            downloaded.
    """
    if settings.path is None:
        files = _download(
            Path(settings.store_dir) / "downloads" / settings.name, published, settings.offline
        )
    else:
        files = _find_files(Path(settings.path).expanduser(), published)
    splits = {
        name: _read_split(files[images], files[labels], published)
        for name, (images, labels) in FILES.items()
    }
    sizes = {split.images.shape[1:] for split in splits.values()}
    if len(sizes) > 1:
        raise DataError(
            f"{published.title}: training and test images differ in size:"
            f" {' and '.join(map(str, sorted(sizes)))}; use files of one data set"
        )
    height, width = sizes.pop()
    entries = [
        Entry(f"{name}/{index:05d}", label, name)
        for name, split in splits.items()
        for index, label in enumerate(split.labels.tolist())
    ]
    images = [split.images for split in splits.values()]
    return Source(
        published.classes,
        entries,
        _concatenated.make_reader(images, lambda split, index: images[split][index][..., None]),
        version=" ".join(split.digests for split in splits.values()),
        shape=(height, width, 1),
    )


def _download(folder: Path, published: IdxFiles, offline: bool) -> dict[str, Path]:
    return {
        name: downloads.fetch(
            downloads.RemoteFile(
                f"{name}.gz", published.sha256[name], published.mirrors, _MAX_BYTES, "content"
            ),
            folder,
            offline,
        )
        for names in FILES.values()
        for name in names
    }


def _find_files(folder: Path, published: IdxFiles) -> dict[str, Path]:
    """Find the files in the user's folder; a plain file takes precedence over a gzipped one."""
    if not folder.is_dir():
        raise DataError(
            f"data.path: {folder} is not a folder; give the one that holds the four files of"
            f" {published.title}"
        )
    names = [name for pair in FILES.values() for name in pair]
    found = {
        name: path
        for name in names
        for path in (folder / f"{name}.gz", folder / name)
        if path.is_file()
    }
    missing = [name for name in names if name not in found]
    if missing:
        raise DataError(
            f"{folder} lacks {', '.join(missing)} (with or without .gz); copy them there, or leave"
            " data.path out to download"
        )
    return found


def _read_split(images_file: Path, labels_file: Path, published: IdxFiles) -> IdxSplit:
    (images, of_images), (labels, of_labels) = (
        _read_known(images_file, 3, published),
        _read_known(labels_file, 1, published),
    )
    if len(images) != len(labels):
        raise DataError(
            f"{images_file} holds {len(images):,} images, but {labels_file} {len(labels):,} labels;"
            " use files of one data set"
        )
    if images.size == 0:
        raise DataError(f"{images_file} holds no image; get the file again")
    if labels.max() >= len(published.classes):
        raise DataError(
            f"{labels_file} holds the label {labels.max()}; {published.title} has the labels 0 to"
            f" {len(published.classes) - 1}"
        )
    return IdxSplit(images, labels, f"{of_images} {of_labels}")


def _read_known(path: Path, dimensions: int, published: IdxFiles) -> "tuple[numpy.ndarray, str]":
    """Read a file as `read_idx` does, and note if it is not the published one.

    Subsets and drop-in replacements are used on purpose, so this is not an error.
    """
    array, digest = read_idx(path, dimensions)
    if digest != published.sha256[path.name.removesuffix(".gz")]:
        terminal.note(
            f"{path} is not the published file of {published.title} (SHA-256 of its content:"
            f" {digest}); using it anyway"
        )
    return array, digest


def read_idx(path: Path, dimensions: int) -> "tuple[numpy.ndarray, str]":
    """Read an IDX file of unsigned bytes, gzipped or not.

    Returns:
        The array, and the SHA-256 of the file's uncompressed bytes.

    Raises:
        DataError: the file cannot be read, is truncated or too long, or is not an IDX file of this
            number of dimensions.
    """
    import numpy

    try:
        header, content = _read_bytes(path, dimensions)
    except (EOFError, zlib.error):
        raise DataError(
            f"{path}: the gzip data is truncated or damaged; get the file again"
        ) from None
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror or error}; get the file again"
        ) from None
    digest = hashlib.sha256(header)
    digest.update(content)
    return numpy.frombuffer(content, numpy.uint8).reshape(_parse_shape(header)), digest.hexdigest()


def _read_bytes(path: Path, dimensions: int) -> tuple[bytes, bytes]:
    """Return header and data.

    Reads no more than the header announces, since a small gzip file can expand to gigabytes.
    """
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if is_gzip else path.open("rb") as stream:
        header = stream.read(4 + 4 * dimensions)
        if header[:4] != bytes([0, 0, 8, dimensions]) or len(header) != 4 + 4 * dimensions:
            kind = "images" if dimensions == 3 else "labels"
            raise DataError(
                f"{path} is not an IDX file of {kind}: it begins with"
                f" {header[:8].hex(' ') or 'nothing'}; get the file again"
            )
        expected = math.prod(_parse_shape(header))
        content = bytearray()
        while len(content) <= expected and (chunk := stream.read(1 << 20)):
            content += chunk
    if len(content) != expected:
        state = "truncated" if len(content) < expected else "too long"
        raise DataError(
            f"{path} is {state}: its header announces {expected:,} bytes of data, but it holds"
            f" {len(content):,}; get the file again"
        )
    return header, bytes(content)


def _parse_shape(header: bytes) -> tuple[int, ...]:
    return tuple(
        int.from_bytes(header[start : start + 4], "big") for start in range(4, len(header), 4)
    )
