"""JPEG files out of which windows are cut before they are decoded, by moving bytes alone. Light
zone.

What lies below a window is left out of any file by writing the window's lower edge into the header
as the height. Files with restart markers go further: the minimum coded units (MCUs) between two
markers are coded for themselves, so those which a window touches make a file of their own.
`encoded` writes such files, with an index of where the markers are, in a segment that other
programs skip.

A window's pixels are the same bits as if the whole file were decoded, where chroma is upsampled
without its neighbours, as fast decoding does. Source: ITU-T T.81, sections A.2 (MCUs), B.1.1 and
B.2 (markers and headers), E.1.4 (restart intervals).
"""

import contextlib
import io
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

Region = tuple[int, int, int, int]
"""Top, left, height and width of what a file shows of an image."""

QUALITY = 95
INTERVAL = 2
"""MCUs between restart markers: a marker costs 3 bytes, an MCU that is decoded in vain 50."""

_FRAMES = (0xC0, 0xC1, 0xC2)  # headers of Huffman coding: baseline, extended, progressive
_SCAN, _RESTART, _END, _APPLICATION = 0xDA, 0xD0, 0xD9, 0xFFEB
_BLOCK = 8  # pixels along a side of a block of coefficients
_DEFAULT_SAMPLING, _FULL_SAMPLING, _HALVED_SAMPLING = (
    -1,
    0,
    2,
)  # of chroma, in Pillow's words; by default it is halved both ways

_INDEX = struct.Struct(">2sHH7sxIIHHH")
"""The image's start, and the index behind it: its marker, length and name; where the frame header
and the coded data begin; height and width of an interval in pixels; intervals in a row. The bytes
of each interval follow, its marker included, as uint16."""
_START, _NAME = b"\xff\xd8", b"imgcls\0"
_LONGEST_SEGMENT = 0xFFFF


def encode_jpeg(image: "Image", markers: bool, like: "Image | None" = None) -> bytes:
    """Return an image, 8-bit grey, RGB or YCbCr, as a JPEG file.

    Args:
        markers: whether to write restart markers and their index; an image of many megapixels has
            too many for one.
        like: the opened JPEG file that the image was decoded from, whose quantization tables,
            subsampling of chroma and kind of colours are taken. Else the quality is 95.
    """
    from PIL.JpegImagePlugin import get_sampling

    sampling = get_sampling(like) if like else _DEFAULT_SAMPLING
    how: dict[str, Any] = {"quality": QUALITY}
    if like:
        coded_as_rgb = "jfif" not in like.info and like.info.get("adobe_transform") == 0
        how = {"qtables": like.quantization, "subsampling": sampling, "keep_rgb": coded_as_rgb}
    if not markers:
        return _save(image, **how)
    halved = image.mode != "L" and sampling != _FULL_SAMPLING
    mcus = -(-image.width // (2 * _BLOCK if halved else _BLOCK))
    interval = INTERVAL if mcus % INTERVAL == 0 else 1  # so that each row begins behind a marker
    return _add_index(
        _save(image, restart_marker_blocks=interval, **how), (image.height, image.width), interval
    )


def decode_ycbcr(data: bytes, image: "Image") -> "Image":
    """Return the image of a JPEG file with its luma and chroma as they are coded, which `encoded`
    brings back to the same coefficients.

    Only blocks that were cut off at black or white change: by 0.07 of 255 levels at most in the
    mean over photos, where the way over RGB and back changes up to 0.6. Chroma that is halved both
    ways comes unsmoothed out of a file that is decoded at half its size.

    Args:
        image: the decoded file, which is returned where luma and chroma are not to be had: grey,
            coded as RGB, or of other subsampling.
    """
    from PIL import Image
    from PIL.JpegImagePlugin import get_sampling

    with Image.open(io.BytesIO(data)) as file:
        sampling, small = get_sampling(file), min(file.size) < 2
    if image.mode != "RGB" or small or sampling not in (_FULL_SAMPLING, _HALVED_SAMPLING):
        return image

    def read(mode: str, reduction: int) -> "Image.Image":
        with Image.open(io.BytesIO(data)) as file:
            file.draft(mode, (file.width // reduction, file.height // reduction))
            file.load()
            return file

    reduction = 2 if sampling == _HALVED_SAMPLING else 1
    try:
        luma, (_, *chroma) = read("L", 1), read("YCbCr", reduction).split()
    except OSError:  # coded as RGB
        return image
    size = (reduction * chroma[0].width, reduction * chroma[0].height)
    return Image.merge(
        "YCbCr",
        [
            luma,
            *(
                each.resize(size, Image.Resampling.NEAREST).crop((0, 0, *luma.size))
                for each in chroma
            ),
        ],
    )


def _save(image: "Image", **how: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **how)
    return stream.getvalue()


def _add_index(data: bytes, size: tuple[int, int], interval: int) -> bytes:
    """Return a file with restart markers with an index of them; without one where it has too
    many.
    """
    import numpy

    frame, coded, mcu = _parse_layout(data)
    codes = numpy.frombuffer(data, numpy.uint8, offset=coded)
    ends = ((codes[:-1] == 0xFF) & (codes[1:] & 0xF8 == _RESTART)).nonzero()[0] + 2
    lengths = numpy.diff(ends, prepend=0, append=len(codes)).astype("<u2").tobytes()
    length = _INDEX.size - 4 + len(lengths)
    if length > _LONGEST_SEGMENT:
        return data
    unit = (mcu[0], mcu[1] * interval)
    moved = length + 2
    head = _INDEX.pack(
        _START,
        _APPLICATION,
        length,
        _NAME,
        moved + frame,
        moved + coded,
        *unit,
        -(-size[1] // unit[1]),
    )
    return b"".join((head, lengths, data[2:]))


def has_index(data: bytes) -> bool:
    """Tell whether a file holds what looks like the index of `encoded`, which `cut` trusts."""
    return data[6:13] == _NAME


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
    ):  # of another kind, or damaged: the decoder is to judge
        frame, _, mcu = _parse_layout(data)
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
    """Return files of the restart intervals that windows touch, and which parts of the images they
    are.

    All files at once: each alone would take a fifth of the time of decoding. A run is what a window
    touches of a row of intervals.
    """
    import numpy

    frames, coded, heights, widths, columns = numpy.array(
        [_INDEX.unpack_from(data)[4:] for data in files]
    ).T
    unit = numpy.stack([heights, widths], axis=1)
    first, last = windows[:, :2] // unit, -(-(windows[:, :2] + windows[:, 2:]) // unit)
    parts = numpy.concatenate(
        [first * unit, numpy.minimum(last * unit, sizes) - first * unit], axis=1
    )
    counts = -(-sizes[:, 0] // heights) * columns
    heads = _INDEX.size + 2 * counts
    lengths = numpy.frombuffer(
        b"".join(
            [data[_INDEX.size : end] for data, end in zip(files, heads.tolist(), strict=True)]
        ),
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
    file_ends = (
        numpy.add.reduceat(stops - starts, rows.cumsum() - rows) + coded - heads + 2
    ).cumsum()
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
    codes[ends[opening[run] + place] + moved[run] - 1] = _RESTART | _number_items(counts)[1] & 7


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
            _START,
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


def _parse_layout(data: bytes) -> tuple[int, int, tuple[int, int]]:
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
    mcu = (_BLOCK * max(each & 15 for each in factors), _BLOCK * max(each >> 4 for each in factors))
    if components == 1:
        mcu = (
            _BLOCK,
            _BLOCK,
        )  # whatever the factors say: the blocks of one component are not interleaved
    if 0 in mcu:
        raise ValueError("no MCU without pixels")
    return frame, places[_SCAN] + 2 + _read_uint16(data, places[_SCAN] + 2), mcu


def _iterate_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the markers of a file, without their first byte, and where they are, up to the first
    scan.
    """
    at, marker = len(_START), 0
    while marker != _SCAN and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a byte that fills up
            at += 1
        else:
            yield marker, at
            at += 2 + _read_uint16(data, at + 2)


def _read_uint16(data: bytes, at: int) -> int:
    return data[at] << 8 | data[at + 1]
