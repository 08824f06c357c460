"""Reading a source into one file of images, in shards of which each is on the disk before the next
begins. Light zone.

A process that is killed has lost one shard at most: `write_shards` goes on after the last whole
one, and truncates the file behind it.
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
from imgcls.io.records import DataFile, Record, parse_record, to_json
from imgcls.store.encode import RECORD_DTYPE, Encoder

if TYPE_CHECKING:
    import numpy

SHARD_SIZE = 2048
"""Entries of a source in a shard: some seconds of decoding."""


class BadImages(Record):
    """The images of a shard that cannot be used."""

    images: list[BadImage]
    """In the order of the source."""


class ShardArrays(ArrayRecord):
    """The file of a shard; a row an image."""

    indices: Annotated[NDArray, Array("int64", "images")]
    """Indices of the entries in the source."""
    records: Annotated[NDArray, Array(RECORD_DTYPE, "images")]
    """Where the image lies in the file of images."""
    image_statistics: Annotated[NDArray, Array(image_statistics.COLUMNS, "images")]
    """Measures of the image."""
    bad: Annotated[NDArray, Array("U")]
    """`BadImages` as JSON."""


@dataclass
class Columns:
    """What is known of the images in the file: indices int64 (n,) of their entries,
    `encode.RECORD_DTYPE` (n,), `image_statistics.COLUMNS` (n,).
    """

    indices: "numpy.ndarray"
    records: "numpy.ndarray"
    image_statistics: "numpy.ndarray"
    bad: list[BadImage]

    @property
    def end(self) -> int:
        """The bytes of the file that these images fill."""
        return (
            int(self.records["start"][-1] + self.records["length"][-1]) if len(self.records) else 0
        )


def write_shards(source: Source, encoder: Encoder, folder: Path, images_file: Path) -> Columns:
    """Append what is stored of all entries to a file, after the shards that are there already.

    Args:
        folder: takes a file a shard.
        images_file: takes the bytes of the images.

    Returns:
        The columns of all shards.
    """
    done = _load_complete_shards(folder, images_file)
    count = len(source.entries)
    if done:
        terminal.note(
            f"going on after {min(len(done) * SHARD_SIZE, count):,} of {count:,} images, where an"
            " earlier command was interrupted"
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
    """Return the shards that were written one after the other from the first on, up to one that is
    damaged, or whose images are not in the file.
    """
    size = images_file.stat().st_size if images_file.is_file() else 0
    found: list[Columns] = []
    while os.path.lexists(path := _get_shard_file(folder, len(found))):
        try:
            columns = _load(path)
        except DataError as error:
            terminal.note(f"these images are read once more: {error}")
            break
        if columns.end > size:
            break
        found.append(columns)
    return found


def _write_shard(
    encoder: Encoder, indices: range, stream: IO[bytes], advance: Callable[[int], None]
) -> Columns:
    """Append what is stored of some entries to the file, each as it comes, so that memory does not
    grow with the size of images.
    """
    import numpy

    used, bad, rows, statistics, digests = [], [], [], [], []
    for index, found in zip(indices, encoder.encode(indices), strict=True):
        advance(1)
        if isinstance(found, BadImage):
            bad.append(found)
            continue
        rows.append(
            (stream.tell(), memoryview(found.data).nbytes, found.height, found.width, found.plain)
        )
        stream.write(found.data)
        digests.append(hashlib.blake2b(found.data, digest_size=16).digest())
        used.append(index)
        statistics.append(found.statistics)
    return Columns(
        numpy.array(used, numpy.int64),
        numpy.array(rows, RECORD_DTYPE),
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
    found = read_arrays(path, ShardArrays, advice)
    bad = parse_record(str(found.bad).encode(), BadImages, DataFile(path, advice, "bad: "))
    return Columns(found.indices, found.records, found.image_statistics, bad.images)


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
