"""Encoding JPEG files that imgcls/image/jpeg.py can crop before they are decoded. Light zone.

`encode_jpeg` is the only entry point.
"""

import io
from typing import TYPE_CHECKING, Any

from imgcls.image import jpeg

if TYPE_CHECKING:
    from PIL.Image import Image

QUALITY = 95
INTERVAL = 2
"""MCUs between restart markers: a marker takes 3 bytes, an MCU decoded needlessly 50."""

# Chroma subsampling, as Pillow numbers it: unchanged (4:2:0 for new files), 4:4:4, 4:2:0.
_DEFAULT_SAMPLING, _FULL_SAMPLING, _HALVED_SAMPLING = -1, 0, 2
_MAX_SEGMENT = 0xFFFF


def encode_jpeg(image: "Image", markers: bool, original: bytes | None = None) -> bytes:
    """Encode an 8-bit grayscale or RGB image as a JPEG file.

    Args:
        markers: whether to write restart markers and an index of them for `jpeg.crop_files`. They
            make the file 10 % larger. An image of many megapixels gets no index, since it would not
            fit into a segment.
        original: the JPEG file that the image was decoded from. Its coefficients, quantization
            tables, chroma subsampling and color space are used again. Without `markers` it is
            returned unchanged, unless it has an index, which cannot be trusted. If None, the
            quality is 95.
    """
    from PIL import Image
    from PIL.JpegImagePlugin import JpegImageFile, get_sampling

    sampling = _DEFAULT_SAMPLING
    options: dict[str, Any] = {"quality": QUALITY}
    if original is not None:
        if not markers and not jpeg.has_index(original):
            return original
        with Image.open(io.BytesIO(original)) as file:
            assert isinstance(file, JpegImageFile)
            sampling = get_sampling(file)
            is_rgb = "jfif" not in file.info and file.info.get("adobe_transform") == 0
            options = {
                "qtables": file.quantization,
                "subsampling": sampling,
                "keep_rgb": is_rgb,
            }
        image = _decode_ycbcr(original, image, sampling)
    if not markers:
        return _save(image, **options)
    halved = image.mode != "L" and sampling != _FULL_SAMPLING
    mcus = -(-image.width // (2 * jpeg.BLOCK if halved else jpeg.BLOCK))
    # An interval must not extend over the end of a row of MCUs.
    interval = INTERVAL if mcus % INTERVAL == 0 else 1
    data = _save(image, restart_marker_blocks=interval, **options)
    return _add_index(data, (image.height, image.width), interval)


def _decode_ycbcr(data: bytes, image: "Image", sampling: int) -> "Image":
    """Decode a JPEG file to YCbCr, which encodes to the same coefficients again.

    Only blocks that were clipped at black or white change: over photos by at most 0.07 of 255
    levels on average, compared with 0.6 for encoding from RGB. Subsampled chroma is decoded at half
    the size of the image, without interpolation.

    Args:
        image: the decoded file, which is returned if the file is grayscale, coded as RGB, or has
            chroma subsampling other than 4:4:4 and 4:2:0.
        sampling: the file's chroma subsampling, as Pillow numbers it.
    """
    from PIL import Image

    is_supported = sampling in (_FULL_SAMPLING, _HALVED_SAMPLING)
    if image.mode != "RGB" or min(image.size) < 2 or not is_supported:
        return image

    def decode(mode: str, reduction: int) -> "Image.Image":
        with Image.open(io.BytesIO(data)) as file:
            file.draft(mode, (file.width // reduction, file.height // reduction))
            file.load()
            return file

    reduction = 2 if sampling == _HALVED_SAMPLING else 1
    try:
        luma, (_, *chroma) = decode("L", 1), decode("YCbCr", reduction).split()
    except OSError:  # coded as RGB
        return image
    size = (reduction * chroma[0].width, reduction * chroma[0].height)
    enlarged = [each.resize(size, Image.Resampling.NEAREST) for each in chroma]
    return Image.merge("YCbCr", [luma, *(each.crop((0, 0, *luma.size)) for each in enlarged)])


def _save(image: "Image", **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def _add_index(data: bytes, size: tuple[int, int], interval: int) -> bytes:
    """Return the file with an index of its restart markers; unchanged if it has too many."""
    import numpy

    frame, scan, mcu = jpeg.parse_layout(data)
    codes = numpy.frombuffer(data, numpy.uint8, offset=scan)
    ends = ((codes[:-1] == 0xFF) & (codes[1:] & 0xF8 == jpeg.RESTART)).nonzero()[0] + 2
    lengths = numpy.diff(ends, prepend=0, append=len(codes)).astype("<u2").tobytes()
    segment_length = jpeg.INDEX.size - 4 + len(lengths)
    if segment_length > _MAX_SEGMENT:
        return data
    unit = (mcu[0], mcu[1] * interval)
    shift = segment_length + 2
    head = jpeg.INDEX.pack(
        jpeg.START,
        jpeg.APPLICATION,
        segment_length,
        jpeg.NAME,
        shift + frame,
        shift + scan,
        *unit,
        -(-size[1] // unit[1]),
    )
    return b"".join((head, lengths, data[2:]))
