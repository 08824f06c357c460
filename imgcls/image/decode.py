"""Decoding image files to pixels, in the same way for training and prediction. Light zone.

PNG, JPEG, WebP, BMP, TIFF, AVIF, and the first frame of a GIF, recognized by their content. EXIF
orientation is applied. Transparent images are composited onto white. 16-bit grayscale is scaled to
8 bits, so that 65535 becomes 255. Color profiles are ignored. Resizing is bicubic and antialiased.
"""

import contextlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from imgcls.image import file_kinds
from imgcls.image.pillow import import_pillow

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

Resize = Literal["pad", "crop", "stretch"]
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif")

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "AVIF")
_GRAYSCALE_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L")
_COLOR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_NOT_UPRIGHT = (2, 3, 4, 5, 6, 7, 8)  # EXIF orientations other than upright
_TRANSPOSED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION_TAG = 0x0112
_MAX_FILE_BYTES = 1 << 30
_MAX_SIDE = 1 << 17
"""Pixels. Resizing takes memory for each pixel of a side, so that an image of 100 megapixels that
is one pixel high takes gigabytes."""


class ImageError(Exception):
    """An image cannot be used; the message says why, without the name of the file."""


@dataclass(frozen=True)
class Geometry:
    """The shape that all images are converted to, (height, width, channels), and how to resize."""

    shape: tuple[int, int, int]
    resize: Resize


def read_file(path: Path) -> bytes:
    """Return the bytes of an image file.

    Raises:
        ImageError: it cannot be read, is empty, not a regular file, or too large.
    """
    with _convert_errors():
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("not a regular file")  # opening a named pipe would block forever
        check_file_size(status.st_size)
        return path.read_bytes()


def check_file_size(size: int) -> None:
    """Raise an `ImageError` if an image file of this size, in bytes, is empty or too large."""
    if size == 0:
        raise ImageError("empty file (0 bytes)")
    if size > _MAX_FILE_BYTES:
        raise ImageError(f"too large: a file of {size / 1e6:,.0f} MB")


def decode_image(data: bytes, geometry: Geometry, max_megapixels: float) -> "numpy.ndarray":
    """Decode the bytes of an image file; return uint8 of the geometry's shape.

    1 channel is grayscale, 3 are RGB, 4 are RGBA.

    Raises:
        ImageError: the data is damaged, not an image, or larger than `max_megapixels`.
    """
    with open_image(data, max_megapixels) as file:
        return decode_opened(file, geometry)


def decode_opened(file: "Image", geometry: Geometry) -> "numpy.ndarray":
    """Decode an opened image; return uint8 of the geometry's shape, as `decode_image` does."""
    return fit_to_size(decode_upright(file, geometry.shape[2], geometry), geometry)


@contextlib.contextmanager
def open_image(data: bytes, max_megapixels: float) -> "Iterator[Image]":
    """Open the bytes of an image file with Pillow, which reads only the header.

    Raises:
        ImageError: the data is damaged, not an image, or larger than `max_megapixels`. Errors
            raised in the block are converted to `ImageError` too.
    """
    with (
        _convert_errors(data),
        import_pillow().open(io.BytesIO(data), formats=_FORMATS) as file,
    ):
        if max(file.size) > _MAX_SIDE:
            raise ImageError(
                f"too large: {file.width}x{file.height}, but no side may be longer than"
                f" {_MAX_SIDE:,} pixels"
            )
        megapixels = file.width * file.height / 1e6
        if megapixels > max_megapixels:
            raise ImageError(
                f"too large: {file.width}x{file.height} is {megapixels:.1f} megapixels, but"
                f" data.max_megapixels is {max_megapixels}"
            )
        yield file


def decode_upright(file: "Image", channels: int, geometry: Geometry | None = None) -> "Image":
    """Decode an opened image, apply its EXIF orientation, and convert it to 8 bits per channel.

    Args:
        channels: 1 for grayscale, 3 for RGB, 4 for RGBA.
        geometry: the geometry that the image will be resized to, if any. A large JPEG is then
            decoded at a fraction of its size, at least twice the size needed, which saves most of
            the time.
    """
    from PIL import ImageOps

    if geometry:
        width, height = compute_scaled_size(
            get_upright_size(file), (geometry.shape[1], geometry.shape[0]), geometry.resize
        )
        file.draft(
            None,
            (
                (2 * height, 2 * width)
                if get_orientation(file) in _TRANSPOSED
                else (2 * width, 2 * height)
            ),
        )
    return convert_channels(ImageOps.exif_transpose(file), channels)


def resize_pixels(pixels: "numpy.ndarray", geometry: Geometry) -> "numpy.ndarray":
    """Resize an image, uint8 (height, width, channels), with any number of channels."""
    import numpy
    from PIL import Image

    channels = [
        fit_to_size(
            Image.fromarray(pixels[..., i]), Geometry((*geometry.shape[:2], 1), geometry.resize)
        )
        for i in range(pixels.shape[2])
    ]
    return numpy.concatenate(channels, axis=2)


def fit_to_size(image: "Image", geometry: Geometry) -> "numpy.ndarray":
    """Resize an 8-bit image to a geometry; return uint8 (height, width, channels)."""
    import numpy

    height, width, _ = geometry.shape
    return numpy.array(resize_image(image, (width, height), geometry.resize)).reshape(
        geometry.shape
    )


def shrink(image: "Image", short_side: int) -> "Image":
    """Resize an image so that its shorter side has `short_side` pixels; keep its aspect ratio."""
    from PIL import Image

    scale = short_side / min(image.size)
    return image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )


def is_plain(file: "Image") -> bool:
    """Tell from the header whether an opened image is an upright grayscale or RGB JPEG."""
    return (
        file.format == "JPEG"
        and file.mode in ("L", "RGB")
        and get_orientation(file) not in _NOT_UPRIGHT
    )


def get_orientation(image: "Image") -> int:
    """Return an image's EXIF orientation, 1 for upright; Pillow itself turns TIFF upright."""
    if image.format == "TIFF":
        return 1
    return image.getexif().get(_ORIENTATION_TAG, 1)


def get_upright_size(image: "Image") -> tuple[int, int]:
    """Return the width and height of an image after its EXIF orientation is applied."""
    return image.size[::-1] if get_orientation(image) in _TRANSPOSED else image.size


def is_grayscale(image: "Image") -> bool:
    """Tell from the pixel format or palette of an opened image whether it is grayscale."""
    if image.mode != "P":
        return image.mode in _GRAYSCALE_MODES
    if image.palette is None:
        raise ImageError("damaged: its colors are numbers in a palette, which it lacks")
    order, entries = image.palette.getdata()
    step = len(order)  # RGB, or BGRX in a BMP: the first three bytes are the color
    return all(
        entries[i] == entries[i + 1] == entries[i + 2]
        for i in range(0, len(entries) - step + 1, step)
    )


def convert_channels(image: "Image", channels: int) -> "Image":
    """Convert an image of any pixel format to 8 bits per channel.

    Args:
        channels: 1 for grayscale and 3 for RGB, both composited onto white; 4 for RGBA.

    Raises:
        ImageError: the range of the pixel format is unknown, such as that of 32-bit integers and
            floats.
    """
    from PIL import Image

    if image.mode not in (*_GRAYSCALE_MODES, *_COLOR_MODES):
        raise ImageError(
            f"the range of pixel format {image.mode} is unknown; save the image with 8 or 16 bits"
            " per channel"
        )
    if image.mode.startswith("I;16"):
        image = _scale_to_eight_bits(image)
    elif channels == 4:
        return image.convert("RGBA")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    if image.mode == mode:
        return image
    return image.convert("RGB").convert(mode)


def resize_image(image: "Image", size: tuple[int, int], resize: Resize) -> "Image":
    """Resize an image to `size` (width, height).

    `stretch` ignores the aspect ratio, `crop` takes the center, `pad` adds black bars.
    """
    from PIL import Image, ImageOps

    if resize == "stretch":
        return image.resize(size, Image.Resampling.BICUBIC)
    if resize == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    inner = image.resize(compute_scaled_size(image.size, size, resize), Image.Resampling.BICUBIC)
    canvas = Image.new(image.mode, size)
    canvas.paste(inner, (round((size[0] - inner.width) / 2), round((size[1] - inner.height) / 2)))
    return canvas


def compute_scaled_size(
    original: tuple[int, int], size: tuple[int, int], resize: Resize
) -> tuple[int, int]:
    """Return the width and height of the scaled image before cropping or padding, at least 1."""
    if resize == "stretch":
        return size
    ratios = (size[0] / original[0], size[1] / original[1])
    scale = min(ratios) if resize == "pad" else max(ratios)
    return max(1, round(original[0] * scale)), max(1, round(original[1] * scale))


def _scale_to_eight_bits(image: "Image") -> "Image":
    """Scale 16-bit grayscale to 8 bits, rounding to nearest; a transparent value becomes white."""
    import numpy
    from PIL import Image

    pixels = numpy.asarray(image)
    scaled = ((pixels.astype(numpy.uint32) + 128) // 257).astype(numpy.uint8)
    if "transparency" in image.info:
        scaled[pixels == image.info["transparency"]] = 255
    return Image.fromarray(scaled)


@contextlib.contextmanager
def _convert_errors(data: bytes = b"") -> Iterator[None]:
    """Convert errors to `ImageError`; Pillow raises a dozen types on damaged files.

    Args:
        data: the beginning of the file, to say what it is instead of an image.
    """
    from PIL import UnidentifiedImageError

    try:
        yield
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError(file_kinds.describe(data)) from None
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise ImageError(f"damaged: {str(error) or type(error).__name__}") from error
