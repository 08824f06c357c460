"""Writing the images of a source to one file, in shards. Light zone.

Each shard is synced to disk before the next, so a killed process loses at most one: `write_shards`
continues after the last complete shard, where it truncates the file.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

from imgcls.datasets import BadImage, Source
from imgcls.errors import DataError
from imgcls.image import image_statistics
from imgcls.io import terminal
from imgcls.io.array_records import Array, ArrayRecord, NDArray, read_arrays, write_arrays
from imgcls.io.data_file import DataFile
from imgcls.io.records import Record, parse_record, to_json
from imgcls.store.encode import RECORD_DTYPE, Encoder

if TYPE_CHECKING:
    import numpy

SHARD_SIZE = 2048
"""Entries per shard, which take some seconds to decode."""


class BadImages(Record):
    """The images of a shard that cannot be used."""

    images: list[BadImage]
    """In the order of the source."""


class ShardArrays(ArrayRecord):
    """The arrays of a shard's file, with a row per image."""

    indices: Annotated[NDArray, Array("int64", "images")]
    """Indices of the entries in the source."""
    records: Annotated[NDArray, Array(RECORD_DTYPE, "images")]
    """Offset, length and size of each image."""
    image_statistics: Annotated[NDArray, Array(image_statistics.COLUMNS, "images")]
    """Statistics of each image."""
    bad: Annotated[NDArray, Array("U")]
    """`BadImages` as JSON."""


@dataclass
class Columns:
    """Data about the n images of one or more shards.

    Attributes:
        indices: of their entries in the source, int64 (n,).
        records: `encode.RECORD_DTYPE` (n,).
        image_statistics: `image_statistics.COLUMNS` (n,).
        bad: images that cannot be used, which have no row.
    """

    indices: "numpy.ndarray"
    records: "numpy.ndarray"
    image_statistics: "numpy.ndarray"
    bad: list[BadImage]

    @property
    def end(self) -> int:
        """The offset at which the last image ends, in bytes."""
        return (
            int(self.records["start"][-1] + self.records["length"][-1]) if len(self.records) else 0
        )


def write_shards(source: Source, encoder: Encoder, folder: Path, images_file: Path) -> Columns:
    """Encode all entries of a source and append them to a file, after existing shards.

    Args:
        folder: where a file per shard is written.
        images_file: where the bytes of the images are written.

    Returns:
        The columns of all shards.
    """
    done = _load_complete_shards(folder, images_file)
    count = len(source.entries)
    if done:
        terminal.note(
            f"continuing after {min(len(done) * SHARD_SIZE, count):,} of {count:,} images, where"
            " an earlier command was interrupted"
        )
    end = max((shard.end for shard in done), default=0)
    with (
        images_file.open("r+b" if done else "wb") as stream,
        terminal.show_bar(count, "preparing") as advance,
    ):
        stream.truncate(end)
        stream.seek(end)
        advance(min(len(done) * SHARD_SIZE, count))
        for number, start in enumerate(range(len(done) * SHARD_SIZE, count, SHARD_SIZE), len(done)):
            columns = _write_shard(
                encoder, range(start, min(start + SHARD_SIZE, count)), stream, advance
            )
            stream.flush()
            os.fsync(stream.fileno())
            _save(columns, _get_shard_file(folder, number))
            done.append(columns)
    return _concatenate(done)


def _get_shard_file(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.npz"


def _load_complete_shards(folder: Path, images_file: Path) -> list[Columns]:
    """Return the shards before the first that is missing, damaged, or lacks its images."""
    size = images_file.stat().st_size if images_file.is_file() else 0
    complete: list[Columns] = []
    while os.path.lexists(path := _get_shard_file(folder, len(complete))):
        try:
            columns = _load(path)
        except DataError as error:
            terminal.note(f"these images are read again: {error}")
            break
        if columns.end > size:
            break
        complete.append(columns)
    return complete


def _write_shard(
    encoder: Encoder, indices: range, stream: IO[bytes], advance: Callable[[int], None]
) -> Columns:
    """Encode some entries, and append them to the file one by one, to bound memory."""
    import numpy

    good, bad, records, statistics, digests = [], [], [], [], []
    for index, image in zip(indices, encoder.encode(indices), strict=True):
        advance(1)
        if isinstance(image, BadImage):
            bad.append(image)
            continue
        records.append(
            (stream.tell(), memoryview(image.data).nbytes, image.height, image.width, image.plain)
        )
        stream.write(image.data)
        digests.append(hashlib.blake2b(image.data, digest_size=16).digest())
        good.append(index)
        statistics.append(image.statistics)
    return Columns(
        numpy.array(good, numpy.int64),
        numpy.array(records, RECORD_DTYPE),
        image_statistics.make_table(statistics, digests),
        bad,
    )


def _save(columns: Columns, path: Path) -> None:
    import numpy

    shard = ShardArrays(
        indices=columns.indices,
        records=columns.records,
        image_statistics=columns.image_statistics,
        bad=numpy.array(to_json(BadImages(images=columns.bad))),
    )
    write_arrays(path, shard)


def _load(path: Path) -> Columns:
    advice = "it is not used"
    arrays = read_arrays(path, ShardArrays, advice)
    bad = parse_record(str(arrays.bad).encode(), BadImages, DataFile(path, advice, "bad: "))
    return Columns(arrays.indices, arrays.records, arrays.image_statistics, bad.images)


def _concatenate(shards: list[Columns]) -> Columns:
    import numpy

    empty = Columns(
        numpy.empty(0, numpy.int64),
        numpy.empty(0, RECORD_DTYPE),
        numpy.empty(0, image_statistics.COLUMNS),
        [],
    )
    indices, records, statistics = (
        numpy.concatenate([getattr(shard, name) for shard in (empty, *shards)])
        for name in ("indices", "records", "image_statistics")
    )
    bad = [image for shard in shards for image in shard.bad]
    return Columns(indices, records, statistics, bad)
