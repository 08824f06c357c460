"""JPEG files that are cropped before they are decoded, by moving bytes alone. Light zone.

`crop_files` is the one way in for reading, and says why, what it gains and what can go wrong. Its
counterpart for writing is `jpeg_encode.encode_jpeg`, a function of its own since it is called once
for each image when a store is prepared, and files that it did not write can be cropped, too.

What lies below a crop is left out of any file by writing the crop's lower edge into the header as
the height. Files with restart markers go further: the minimum coded units (MCUs) between two
markers are coded for themselves, so those which a crop touches make a file of their own. An index
says where the markers are, in a segment that other programs skip.

Source: ITU-T T.81, sections A.2 (MCUs), B.1.1 and B.2 (markers and headers), E.1.4 (restart
intervals).
"""

import contextlib
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

Region = tuple[int, int, int, int]
"""Top, left, height and width of what a file shows of an image."""

_FRAMES = (0xC0, 0xC1, 0xC2)  # headers of Huffman coding: baseline, extended, progressive
_SCAN, RESTART, _END, APPLICATION = 0xDA, 0xD0, 0xD9, 0xFFEB
BLOCK = 8  # pixels along a side of a block of coefficients

INDEX = struct.Struct(">2sHH7sxIIHHH")
"""The image's start, and the index behind it: its marker, length and name; where the frame header
and the coded data begin; height and width of an interval in pixels; intervals in a row. The bytes
of each interval follow, its marker included, as uint16."""
START, NAME = b"\xff\xd8", b"imgcls\0"


def crop_files(
    files: "list[bytes]", sizes: "numpy.ndarray", crops: "numpy.ndarray"
) -> "list[tuple[bytes | memoryview, Region]]":
    """Return for each file a smaller one that still holds a crop, and which region of the image
    that is; or the file itself, if it cannot be cropped.

    Why: most of the time of reading a random crop of a photo goes into the Huffman code of the
    pixels beside it, which no decoder can skip.

    Gain: JPEGs of 500x375 (Intel Xeon, Emerald Rapids) are read, cropped at random and resized to
    224x224 in a tenth less time as they come, and in a third less with restart markers.

    Risk: pixels of another place, or none, where a file's bytes are not what this function takes
    them for. What keeps it away:
    - A file whose header cannot be read, or states another size than the store's record, is
      returned as it is; the decoder then decides.
    - An index is trusted, so only `encode_jpeg` writes one into a store: a file that comes with an
      index is encoded anew. What is on the disk later is the store's SHA-256 to prove.
    - A smaller file that the decoder refuses is decoded whole, by Pillow (`EncodedReader.crop`).
    - The crop's pixels are the same bits as of the whole file, if chroma is upsampled without its
      neighbors, as fast decoding does: tests/test_jpeg.py compares them.

    Args:
        files: JPEG files that lie upright; anything else is not cropped.
        sizes: int32 (n, 2), height and width of the images.
        crops: int32 (n, 4): top, left, height and width, within the image.
    """
    indexed = [i for i, data in enumerate(files) if has_index(data)]
    found = iter(
        _crop_intervals([files[i] for i in indexed], sizes[indexed], crops[indexed])
        if indexed
        else ()
    )
    each = zip(files, map(tuple, sizes.tolist()), crops.tolist(), strict=True)
    return [
        next(found) if has_index(data) else _crop_below(data, size, crop)
        for data, size, crop in each
    ]


def has_index(data: bytes) -> bool:
    """Tell whether a file holds what looks like the index of `encode_jpeg`, which `crop_files`
    trusts.
    """
    return data[6:13] == NAME


def _crop_below(data: bytes, size: tuple[int, int], crop: list[int]) -> tuple[bytes, Region]:
    """Return a file whose image ends below a crop, and which region of the image it shows."""
    with contextlib.suppress(IndexError, ValueError):  # coded otherwise, or damaged
        frame, _, mcu = parse_layout(data)
        if (_read_uint16(data, frame + 5), _read_uint16(data, frame + 7)) == size:
            height = min(size[0], -(-(crop[0] + crop[2]) // mcu[0]) * mcu[0])
            smaller = (data[: frame + 5], height.to_bytes(2, "big"), data[frame + 7 :])
            return b"".join(smaller), (0, 0, height, size[1])
    return data, (0, 0, *size)


def _crop_intervals(
    files: list[bytes], sizes: "numpy.ndarray", crops: "numpy.ndarray"
) -> list[tuple[memoryview, Region]]:
    """Return files of the restart intervals that crops touch, and which regions they show.

    All files at once: each alone would take a fifth of the time of decoding. A run is what a crop
    touches of a row of intervals.
    """
    import numpy

    headers = numpy.array([INDEX.unpack_from(data)[4:] for data in files])
    frames, coded, heights, widths, columns = headers.T
    counts = -(-sizes[:, 0] // heights) * columns
    heads = INDEX.size + 2 * counts
    lengths, ends = _locate_intervals(files, heads, coded, counts)

    unit = numpy.stack([heights, widths], axis=1)
    first, last = crops[:, :2] // unit, -(-(crops[:, :2] + crops[:, 2:]) // unit)
    corner = first * unit
    regions = numpy.concatenate([corner, numpy.minimum(last * unit, sizes) - corner], axis=1)
    rows, across = (last - first).T
    file_of_run, row = _number_items(rows)
    opening = (
        (counts.cumsum() - counts)[file_of_run]
        + (first[file_of_run, 0] + row) * columns[file_of_run]
        + first[file_of_run, 1]
    )
    starts, stops = ends[opening] - lengths[opening], ends[opening + across[file_of_run] - 1]
    whole = _join_intervals(files, (heads, frames, coded), regions, rows, (starts, stops))

    moved = (stops - starts).cumsum() + numpy.repeat((coded - heads + 2).cumsum(), rows) - stops
    codes = numpy.frombuffer(whole, numpy.uint8)
    _renumber_markers(codes, ends, opening, moved, across[file_of_run], rows * across)
    bytes_of_file = numpy.add.reduceat(stops - starts, rows.cumsum() - rows) + coded - heads + 2
    file_ends = bytes_of_file.cumsum()
    codes[file_ends - 1] = _END
    view, bounds = memoryview(whole), [0, *file_ends.tolist()]
    return [
        (view[start:end], tuple(region))
        for start, end, region in zip(bounds, bounds[1:], regions.tolist(), strict=False)
    ]


def _locate_intervals(
    files: list[bytes], heads: "numpy.ndarray", coded: "numpy.ndarray", counts: "numpy.ndarray"
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return how many bytes each interval has, marker included, and where it ends in its own file,
    file after file.

    Args:
        heads: where the index of each file ends.
        coded: where its coded data begin.
        counts: its intervals.
    """
    import numpy

    each = zip(files, heads.tolist(), strict=True)
    lengths = numpy.frombuffer(b"".join([data[INDEX.size : end] for data, end in each]), "<u2")
    ends = lengths.cumsum(dtype=numpy.int64)
    before = counts.cumsum() - counts
    ends += numpy.repeat(coded + lengths[before] - ends[before], counts)
    return lengths, ends


def _renumber_markers(
    codes: "numpy.ndarray",
    ends: "numpy.ndarray",
    opening: "numpy.ndarray",
    moved: "numpy.ndarray",
    across: "numpy.ndarray",
    counts: "numpy.ndarray",
) -> None:
    """Number the restart markers of each new file from 0 on, in place.

    Args:
        codes: the new files one behind the other, uint8.
        ends: where each interval ends in its old file.
        opening: the first interval of each run.
        moved: how far the bytes of each run have moved.
        across: intervals of each run.
        counts: intervals of each new file.
    """
    run, column = _number_items(across)
    codes[ends[opening[run] + column] + moved[run] - 1] = RESTART | _number_items(counts)[1] & 7


def _join_intervals(
    files: list[bytes],
    offsets: "tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]",
    regions: "numpy.ndarray",
    rows: "numpy.ndarray",
    runs: "tuple[numpy.ndarray, numpy.ndarray]",
) -> bytearray:
    """Return the new files one behind the other, their markers still numbered as in the old ones.

    Args:
        offsets: where the index ends, the frame header begins, and the coded data begin.
        regions: of the images, which the files are to show.
        rows: runs of each file.
        runs: where they begin and end.
    """
    sides = regions[:, 2:].astype(">u2").tobytes()
    bounds, pieces, done = list(zip(*(each.tolist() for each in runs), strict=True)), [], 0
    for i, (data, head, frame, coded, count) in enumerate(
        zip(files, *(each.tolist() for each in (*offsets, rows)), strict=True)
    ):
        side = sides[4 * i : 4 * i + 4]
        pieces += (START, data[head : frame + 5], side, data[frame + 9 : coded])
        pieces += [data[start:stop] for start, stop in bounds[done : done + count]]
        done += count
    return bytearray().join(pieces)


def _number_items(counts: "numpy.ndarray") -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return for `counts[0]` items of a first kind, then so many of the next, of which kind each
    is, and its number among them.
    """
    import numpy

    kinds = numpy.repeat(numpy.arange(len(counts)), counts)
    return kinds, numpy.arange(len(kinds)) - (counts.cumsum() - counts)[kinds]


def parse_layout(data: bytes) -> tuple[int, int, tuple[int, int]]:
    """Return where the frame header and the first scan's coded data begin, and height and width of
    an MCU in pixels.

    Raises:
        IndexError, ValueError: the file is damaged, or coded otherwise.
    """
    offsets = dict(_iterate_segments(data))
    frame = next((offsets[each] for each in _FRAMES if each in offsets), None)
    if frame is None or _SCAN not in offsets:
        raise ValueError("not a JPEG file of Huffman coding")
    components = data[frame + 9]
    factors = [data[frame + 11 + 3 * i] for i in range(components)]
    mcu = (BLOCK * max(each & 15 for each in factors), BLOCK * max(each >> 4 for each in factors))
    if components == 1:  # whatever the factors say, blocks of one component are not interleaved
        mcu = (BLOCK, BLOCK)
    if 0 in mcu:
        raise ValueError("an MCU without pixels")
    return frame, offsets[_SCAN] + 2 + _read_uint16(data, offsets[_SCAN] + 2), mcu


def _iterate_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of a file, without their first byte, and where they are, up to the first
    scan.
    """
    at, marker = len(START), 0
    while marker != _SCAN and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
        else:
            yield marker, at
            at += 2 + _read_uint16(data, at + 2)


def _read_uint16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
