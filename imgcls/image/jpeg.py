"""JPEG files that are cropped before they are decoded, by moving bytes alone. Light zone.

That saves a quarter of the time of reading random crops of photos. What can go wrong is a file
whose bytes are not what its headers say: then it is decoded whole. `crop_files` is the one way in.

What lies below a window is left out of any file by writing the window's lower edge into the header
as the height. Files with restart markers go further: the minimum coded units (MCUs) between two
markers are coded for themselves, so those which a window touches make a file of their own.
imgcls/image/jpeg_encode.py writes such files, with an index of where the markers are, in a segment
that other programs skip.

A window's pixels are the same bits as if the whole file were decoded, where chroma is upsampled
without its neighbours, as fast decoding does. Source: ITU-T T.81, sections A.2 (MCUs), B.1.1 and
B.2 (markers and headers), E.1.4 (restart intervals).
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


def has_index(data: bytes) -> bool:
    """Tell whether a file holds what looks like the index of `encoded`, which `cut` trusts."""
    return data[6:13] == NAME


def crop_files(
    files: "list[bytes]", sizes: "numpy.ndarray", windows: "numpy.ndarray"
) -> "list[tuple[bytes | memoryview, Region]]":
    """Return for each file a smaller one that still holds a window, and which part of the image
    that is; or itself, if it cannot be cut.

    Args:
        files: JPEG files that lie upright; anything else is not cut.
        sizes: int32 (n, 2), height and width of the images.
        windows: int32 (n, 4): top, left, height and width, within the image.
    """
    indexed = [i for i, data in enumerate(files) if has_index(data)]
    found = iter(
        _crop_intervals([files[i] for i in indexed], sizes[indexed], windows[indexed])
        if indexed
        else ()
    )
    each = zip(files, map(tuple, sizes.tolist()), windows.tolist(), strict=True)
    return [
        next(found) if has_index(data) else _crop_below(data, size, window)
        for data, size, window in each
    ]


def _crop_below(data: bytes, size: tuple[int, int], window: list[int]) -> tuple[bytes, Region]:
    """Return a file whose image ends below a window, and which part of the image it shows."""
    with contextlib.suppress(
        IndexError, ValueError
    ):  # of another kind, or damaged: the decoder decides
        frame, _, mcu = parse_layout(data)
        if (_read_uint16(data, frame + 5), _read_uint16(data, frame + 7)) == size:
            height = min(size[0], -(-(window[0] + window[2]) // mcu[0]) * mcu[0])
            return b"".join((data[: frame + 5], height.to_bytes(2, "big"), data[frame + 7 :])), (
                0,
                0,
                height,
                size[1],
            )
    return data, (0, 0, *size)


def _crop_intervals(
    files: list[bytes], sizes: "numpy.ndarray", windows: "numpy.ndarray"
) -> list[tuple[memoryview, Region]]:
    """Return files of the restart intervals that crops touch, and which regions they show.

    All files at once: each alone would take a fifth of the time of decoding. A run is what a window
    touches of a row of intervals.
    """
    import numpy

    headers = numpy.array([INDEX.unpack_from(data)[4:] for data in files])
    frames, coded, heights, widths, columns = headers.T
    unit = numpy.stack([heights, widths], axis=1)
    first, last = windows[:, :2] // unit, -(-(windows[:, :2] + windows[:, 2:]) // unit)
    parts = numpy.concatenate(
        [first * unit, numpy.minimum(last * unit, sizes) - first * unit], axis=1
    )
    counts = -(-sizes[:, 0] // heights) * columns
    heads = INDEX.size + 2 * counts
    lengths = numpy.frombuffer(
        b"".join([data[INDEX.size : end] for data, end in zip(files, heads.tolist(), strict=True)]),
        "<u2",
    )
    ends = lengths.cumsum(dtype=numpy.int64)
    before = counts.cumsum() - counts
    ends += numpy.repeat(coded + lengths[before] - ends[before], counts)  # in its own file

    rows, across = (last - first).T
    file_of_run, row = _number_items(rows)
    opening = (
        before[file_of_run]
        + (first[file_of_run, 0] + row) * columns[file_of_run]
        + first[file_of_run, 1]
    )
    starts, stops = ends[opening] - lengths[opening], ends[opening + across[file_of_run] - 1]
    whole = _join_intervals(files, (heads, frames, coded), parts, rows, (starts, stops))

    moved = (stops - starts).cumsum() + numpy.repeat((coded - heads + 2).cumsum(), rows) - stops
    codes = numpy.frombuffer(whole, numpy.uint8)
    _renumber_markers(codes, ends, opening, moved, across[file_of_run], rows * across)
    bytes_of_file = numpy.add.reduceat(stops - starts, rows.cumsum() - rows) + coded - heads + 2
    file_ends = bytes_of_file.cumsum()
    codes[file_ends - 1] = _END
    view, bounds = memoryview(whole), [0, *file_ends.tolist()]
    return [
        (view[start:end], tuple(part))
        for start, end, part in zip(bounds, bounds[1:], parts.tolist(), strict=False)
    ]


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
    run, place = _number_items(across)
    codes[ends[opening[run] + place] + moved[run] - 1] = RESTART | _number_items(counts)[1] & 7


def _join_intervals(
    files: list[bytes],
    places: "tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray]",
    parts: "numpy.ndarray",
    rows: "numpy.ndarray",
    runs: "tuple[numpy.ndarray, numpy.ndarray]",
) -> bytearray:
    """Return the new files one behind the other, their markers still numbered as in the old ones.

    Args:
        places: where the index ends, the frame header begins, and the coded data begin.
        parts: of the images, which the files are to show.
        rows: runs of each file.
        runs: where they begin and end.
    """
    sides = parts[:, 2:].astype(">u2").tobytes()
    bounds, pieces, done = list(zip(*(each.tolist() for each in runs), strict=True)), [], 0
    for i, (data, head, frame, coded, count) in enumerate(
        zip(files, *(each.tolist() for each in (*places, rows)), strict=True)
    ):
        pieces += (
            START,
            data[head : frame + 5],
            sides[4 * i : 4 * i + 4],
            data[frame + 9 : coded],
        )
        pieces += [data[start:stop] for start, stop in bounds[done : done + count]]
        done += count
    return bytearray().join(pieces)


def _number_items(counts: "numpy.ndarray") -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return for `counts[0]` things of a first kind, then so many of the next, of which kind each
    is, and its number in there.
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
    places = dict(_iterate_segments(data))
    frame = next((places[each] for each in _FRAMES if each in places), None)
    if frame is None or _SCAN not in places:
        raise ValueError("not a JPEG file of Huffman coding")
    components = data[frame + 9]
    factors = [data[frame + 11 + 3 * i] for i in range(components)]
    mcu = (BLOCK * max(each & 15 for each in factors), BLOCK * max(each >> 4 for each in factors))
    if components == 1:
        mcu = (
            BLOCK,
            BLOCK,
        )  # whatever the factors say: the blocks of one component are not interleaved
    if 0 in mcu:
        raise ValueError("no MCU without pixels")
    return frame, places[_SCAN] + 2 + _read_uint16(data, places[_SCAN] + 2), mcu


def _iterate_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of a file, without their first byte, and where they are, up to the first
    scan.
    """
    at, marker = len(START), 0
    while marker != _SCAN and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a byte that fills up
            at += 1
        else:
            yield marker, at
            at += 2 + _read_uint16(data, at + 2)


def _read_uint16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
