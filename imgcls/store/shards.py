"""Reading a source into one file of images, in blocks of which each is on the disk before the next
begins. Light zone.

A process that is killed has lost one block at most: `write` goes on after the last whole one, and
cuts off what lies behind it.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from imgcls.datasets import BadImage, Source
from imgcls.image import image_statistics
from imgcls.io import files, terminal
from imgcls.store.encode import RECORD_DTYPE, Encoder

if TYPE_CHECKING:
    import numpy

SHARD_SIZE = 2048
"""Entries of a source in a block: some seconds of decoding."""


@dataclass
class Columns:
    """What is known of the images in the file: places int64 (n,) of their entries, `keeping.RECORD`
    (n,), `image_statistics.COLUMNS` (n,).
    """

    places: "numpy.ndarray"
    records: "numpy.ndarray"
    image_statistics: "numpy.ndarray"
    bad: list[BadImage]

    @property
    def end(self) -> int:
        """The bytes of the file that these images fill."""
        return (
            int(self.records["start"][-1] + self.records["length"][-1]) if len(self.records) else 0
        )


def write_shards(source: Source, keeper: Encoder, folder: Path, images_file: Path) -> Columns:
    """Append what is kept of all entries to a file, after the blocks that are there already.

    Args:
        folder: takes a file a block.
        images_file: takes the bytes of the images.

    Returns:
        The columns of all blocks.
    """
    done = [_load(path) for path in _find_complete_shards(folder)]
    count = len(source.entries)
    if done:
        terminal.note(
            f"going on after {min(len(done) * SHARD_SIZE, count):,} of {count:,} images, where an"
            " earlier command was interrupted"
        )
    end = max((block.end for block in done), default=0)
    with (
        images_file.open("r+b" if done else "wb") as stream,
        terminal.show_bar(count, "preparing") as advance,
    ):
        stream.truncate(end)
        stream.seek(end)
        advance(min(len(done) * SHARD_SIZE, count))
        for number, start in enumerate(range(len(done) * SHARD_SIZE, count, SHARD_SIZE), len(done)):
            columns = _write_shard(
                keeper, range(start, min(start + SHARD_SIZE, count)), stream, advance
            )
            stream.flush()
            os.fsync(stream.fileno())
            _save(columns, folder / f"{number:06d}.npz")
            done.append(columns)
    return _concatenate(done)


def _find_complete_shards(folder: Path) -> Iterator[Path]:
    """Yield the files of the blocks that were written one after the other from the first on."""
    number = 0
    while (path := folder / f"{number:06d}.npz").exists():
        yield path
        number += 1


def _write_shard(
    keeper: Encoder, places: range, stream: IO[bytes], advance: Callable[[int], None]
) -> Columns:
    """Append what is kept of some entries to the file, each as it comes, so that memory does not
    grow with the size of images.
    """
    import numpy

    kept, bad, rows, seen, digests = [], [], [], [], []
    for place, found in zip(places, keeper.encode(places), strict=True):
        advance(1)
        if isinstance(found, BadImage):
            bad.append(found)
            continue
        rows.append(
            (stream.tell(), memoryview(found.data).nbytes, found.height, found.width, found.plain)
        )
        stream.write(found.data)
        digests.append(hashlib.blake2b(found.data, digest_size=16).digest())
        kept.append(place)
        seen.append(found.statistics)
    return Columns(
        numpy.array(kept, numpy.int64),
        numpy.array(rows, RECORD_DTYPE),
        image_statistics.make_table(seen, digests),
        bad,
    )


def _save(columns: Columns, path: Path) -> None:
    import numpy

    bad = json.dumps([[image.id, image.problem] for image in columns.bad])
    with files.replace_file(path) as stream:
        numpy.savez(
            stream,
            places=columns.places,
            records=columns.records,
            image_statistics=columns.image_statistics,
            bad=numpy.array(bad),
        )


def _load(path: Path) -> Columns:
    import numpy

    with numpy.load(path, allow_pickle=False) as arrays:
        bad = [BadImage(*fields) for fields in json.loads(str(arrays["bad"]))]
        return Columns(arrays["places"], arrays["records"], arrays["image_statistics"], bad)


def _concatenate(parts: list[Columns]) -> Columns:
    import numpy

    empty = Columns(
        numpy.empty(0, numpy.int64),
        numpy.empty(0, RECORD_DTYPE),
        numpy.empty(0, image_statistics.COLUMNS),
        [],
    )
    return Columns(
        *(
            numpy.concatenate([getattr(part, name) for part in (empty, *parts)])
            for name in ("places", "records", "image_statistics")
        ),
        [image for part in parts for image in part.bad],
    )
