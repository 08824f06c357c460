"""The binary version of CIFAR-10 and CIFAR-100: records of labels and 32x32 pixels. Light zone.

Format: one byte for each label, then 1,024 bytes of red, 1,024 of green and 1,024 of blue, row by
row (https://www.cs.toronto.edu/~kriz/cifar.html, "Binary version").
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.datasets import DataSettings, Entry, Source, SplitName, _concatenated
from imgcls.errors import DataError
from imgcls.io import archives, downloads, terminal
from imgcls.io.downloads import RemoteFile

if TYPE_CHECKING:
    import numpy

PIXELS = 32 * 32 * 3
_COUNTS: dict[SplitName, int] = {"train": 50_000, "test": 10_000}
_MAX_BYTES = 1 << 28
"""Largest size of an archive member, in bytes: the largest has 154 MB."""


class CifarSettings(DataSettings):
    """The settings of the CIFAR data sets."""

    path: str | None = None
    """The folder that holds the published binary archive (.tar.gz), or the folder extracted from
    it; by default the archive is downloaded into `store_dir`."""
    offline: bool = False
    """Never download: a missing archive is an error that says where to put it."""


@dataclass(frozen=True)
class CifarArchive:
    """A published data set.

    Attributes:
        remote: the archive.
        folder: the folder inside it.
        files: the record files of each split, in order.
        class_names_file: the file of class names.
        label_bytes: the number of label bytes in a record.
        label_index: the index of the label byte to use.
        class_count: the number of classes.
    """

    title: str
    remote: RemoteFile
    folder: str
    files: dict[SplitName, tuple[str, ...]]
    class_names_file: str
    label_bytes: int
    label_index: int
    class_count: int


def prepare(settings: CifarSettings, archive: CifarArchive) -> Source:
    """Read the training and test splits.

    Raises:
        DataError: a file is missing, damaged, of another format, or cannot be downloaded.
    """
    content = _read_content(settings, archive)
    classes = _parse_class_names(content[archive.class_names_file], archive)
    records = {
        split: _parse_records(names, content, archive) for split, names in archive.files.items()
    }
    entries = [
        Entry(f"{split}/{index:05d}", label, split)
        for split, array in records.items()
        for index, label in enumerate(array[:, archive.label_index].tolist())
    ]
    counts = {split: len(array) for split, array in records.items()}
    if counts != _COUNTS:
        found = " and ".join(f"{count:,} {split}" for split, count in counts.items())
        terminal.note(
            f"{found} images are not all of {archive.title}, which has 50,000 and 10,000; using"
            " them anyway"
        )
    digest = hashlib.sha256()
    for name in sorted(content):
        digest.update(content[name])
    arrays = list(records.values())

    def read(split: int, index: int) -> "numpy.ndarray":
        import numpy

        pixels = arrays[split][index, archive.label_bytes :].reshape(3, 32, 32)
        return numpy.ascontiguousarray(pixels.transpose(1, 2, 0))

    return Source(
        classes,
        entries,
        _concatenated.make_reader(arrays, read),
        digest.hexdigest(),
        shape=(32, 32, 3),
    )


def _read_content(settings: CifarSettings, archive: CifarArchive) -> dict[str, bytes]:
    """Return the contents of the files that are needed, by file name."""
    names = [
        archive.class_names_file,
        *(name for names in archive.files.values() for name in names),
    ]
    if settings.path is None:
        packed = downloads.fetch(
            archive.remote, Path(settings.store_dir) / "downloads" / settings.name, settings.offline
        )
        return _extract(packed, names, archive)
    folder = Path(settings.path).expanduser()
    packed = folder / archive.remote.name
    if packed.is_file():
        if not downloads.verify(packed, archive.remote):
            terminal.note(
                f"{packed} is not the published archive of {archive.title} (its SHA-256 differs);"
                " using it anyway"
            )
        return _extract(packed, names, archive)
    for extracted in (folder / archive.folder, folder):
        if (extracted / archive.class_names_file).is_file():
            return {name: _read_file(extracted / name) for name in names}
    raise DataError(
        f"data.path: {folder} holds neither {archive.remote.name} nor"
        f" {archive.folder}/{archive.class_names_file}; get the binary version from"
        f" {archive.remote.mirrors[0]}{archive.remote.name}, or leave data.path out to download it"
    )


def _extract(packed: Path, names: list[str], archive: CifarArchive) -> dict[str, bytes]:
    found = archives.extract_members(
        packed, {f"{archive.folder}/{name}": _MAX_BYTES for name in names}
    )
    return {name: found[f"{archive.folder}/{name}"] for name in names}


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {error.strerror}; extract the archive again"
        ) from None


def _parse_class_names(content: bytes, archive: CifarArchive) -> list[str]:
    try:
        names = content.decode().split()
    except UnicodeDecodeError:
        names = []
    if len(set(names)) < len(names):
        raise DataError(
            f"{archive.class_names_file} of {archive.title} lists a class twice; get the archive"
            " again"
        )
    if len(names) != archive.class_count:
        raise DataError(
            f"{archive.class_names_file} of {archive.title} holds {len(names)} class names, not"
            f" {archive.class_count}; get the archive again"
        )
    return names


def _parse_records(
    names: tuple[str, ...], content: dict[str, bytes], archive: CifarArchive
) -> "numpy.ndarray":
    """Return the records of a split, uint8 (n, labels and pixels)."""
    import numpy

    length = archive.label_bytes + PIXELS
    arrays = []
    for name in names:
        data = content[name]
        if not data or len(data) % length:
            raise DataError(
                f"{name} of {archive.title} has {len(data):,} bytes, which is not a multiple of"
                f" {length:,}: it is truncated, or not the binary version; get the archive again"
            )
        arrays.append(numpy.frombuffer(data, numpy.uint8).reshape(-1, length))
        if (largest := arrays[-1][:, archive.label_index].max()) >= archive.class_count:
            raise DataError(
                f"{name} of {archive.title} holds the label {largest}; labels are 0 to"
                f" {archive.class_count - 1}: get the archive again"
            )
    return numpy.concatenate(arrays)
