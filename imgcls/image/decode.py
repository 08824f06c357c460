"""Images from files, each kind handled on purpose: the one way from a file's bytes to pixels, for
training and prediction. Light zone.

Formats: PNG, JPEG, WebP, BMP, and the first frame of a GIF, told by their content. EXIF rotation is
applied. Transparency is laid on white. 16-bit grey is scaled so that 65535 becomes 255, not
clipped. Colour profiles are ignored. Resizing is bicubic and antialiased.
"""

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image

Resize = Literal["pad", "crop", "stretch"]
EXTENSIONS = (".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif")

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF")
_GRAYSCALE_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L")
_COLOR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK")
_NOT_UPRIGHT = (2, 3, 4, 5, 6, 7, 8)  # EXIF orientations other than upright
_SIDEWAYS = (5, 6, 7, 8)  # those that swap width and height
_ORIENTATION = 0x0112
_MAX_FILE_BYTES = 1 << 30


class ImageError(Exception):
    """An image that cannot be used; the message says why, for a sentence that names the file."""


@dataclass(frozen=True)
class Geometry:
    """What every image is brought to: height, width and channels, and how."""

    shape: tuple[int, int, int]
    resize: Resize


def read_file(path: Path) -> bytes:
    """Return the bytes of a file that is to be an image.

    Raises:
        ImageError: it cannot be read, is empty, no regular file, or larger than any image.
    """
    with _explain_damage():
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("not a regular file")  # to open a named pipe would wait for ever
        require_valid_size(status.st_size)
        return path.read_bytes()


def require_valid_size(size: int) -> None:
    """Raise an `ImageError` where no image file has so many bytes."""
    if size == 0:
        raise ImageError("empty file (0 bytes)")
    if size > _MAX_FILE_BYTES:
        raise ImageError(f"too large: a file of {size / 1e6:,.0f} MB")


def decode_image(data: bytes, geometry: Geometry, max_megapixels: float) -> "numpy.ndarray":
    """Return the image in a file's bytes as uint8 of the geometry's shape; 1 channel is grey, 3 are
    RGB, 4 are RGB and transparency.

    Raises:
        ImageError: the data is damaged, no image, or larger than `max_megapixels`.
    """
    with open_image(data, max_megapixels) as file:
        return fit_to_size(decode_upright(file, geometry.shape[2], geometry), geometry)


@contextlib.contextmanager
def open_image(data: bytes, max_megapixels: float) -> "Iterator[Image]":
    """Open the image in a file's bytes, of which only the header is read; whatever goes wrong in
    the block is an `ImageError`.

    Raises:
        ImageError: the data is damaged, no image, or larger than `max_megapixels`.
    """
    with _explain_damage(), _import_pillow().open(io.BytesIO(data), formats=_FORMATS) as file:
        megapixels = file.width * file.height / 1e6
        if megapixels > max_megapixels:
            raise ImageError(
                f"too large: {file.width}x{file.height} is {megapixels:.1f} megapixels,"
                f" data.max_megapixels is {max_megapixels}"
            )
        yield file


def decode_upright(file: "Image", channels: int, geometry: Geometry | None = None) -> "Image":
    """Return an opened image upright, with 8 bits a channel.

    Args:
        channels: 1 is grey, 3 is RGB, 4 is RGB and transparency.
        geometry: what the image will be brought to: a JPEG is then decoded at a fraction of its
            size, but at least twice the size needed, which saves most of the time.
    """
    from PIL import ImageOps

    if geometry:
        width, height = _compute_scaled_size(
            get_upright_size(file), (geometry.shape[1], geometry.shape[0]), geometry.resize
        )
        file.draft(
            None,
            (
                (2 * height, 2 * width)
                if get_orientation(file) in _SIDEWAYS
                else (2 * width, 2 * height)
            ),
        )
    return convert_channels(ImageOps.exif_transpose(file), channels)


def resize_pixels(pixels: "numpy.ndarray", geometry: Geometry) -> "numpy.ndarray":
    """Return an image that is stored as pixels, uint8 (height, width, channels), at a geometry;
    channel by channel, of any number.
    """
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
    """Return an 8-bit image at a geometry, uint8 (height, width, channels)."""
    import numpy

    height, width, _ = geometry.shape
    return numpy.array(resize_image(image, (width, height), geometry.resize)).reshape(
        geometry.shape
    )


def shrink(image: "Image", short_side: int) -> "Image":
    """Return an image whose short side is longer than `short_side` shrunk to that, in its
    proportions.
    """
    from PIL import Image

    scale = short_side / min(image.size)
    return image.resize(
        (round(image.width * scale), round(image.height * scale)), Image.Resampling.BICUBIC
    )


def is_plain(file: "Image") -> bool:
    """Tell from the header whether an opened image is a JPEG in grey or RGB that lies upright, as
    most are.
    """
    return (
        file.format == "JPEG"
        and file.mode in ("L", "RGB")
        and get_orientation(file) not in _NOT_UPRIGHT
    )


def get_orientation(image: "Image") -> int:
    """Return an image's EXIF orientation, 1 for upright."""
    return image.getexif().get(_ORIENTATION, 1)


def get_upright_size(image: "Image") -> tuple[int, int]:
    """Return width and height of an image after its EXIF rotation."""
    return image.size[::-1] if get_orientation(image) in _SIDEWAYS else image.size


def is_grayscale(image: "Image") -> bool:
    """Tell from the header alone whether an opened image is grey: by its pixel format, or by a
    palette of greys.
    """
    if image.mode != "P":
        return image.mode in _GRAYSCALE_MODES
    order, entries = image.palette.getdata()
    step = len(order)  # RGB, or BGRX in a BMP: the first three are the colours
    return all(
        entries[i] == entries[i + 1] == entries[i + 2]
        for i in range(0, len(entries) - step + 1, step)
    )


def convert_channels(image: "Image", channels: int) -> "Image":
    """Return an image of any pixel format as 8-bit grey (`channels` 1), RGB (3), or RGB with
    transparency (4), which is else laid on white.

    Raises:
        ImageError: the pixel format has no known range, such as 32-bit integers and floats.
    """
    from PIL import Image

    if image.mode not in (*_GRAYSCALE_MODES, *_COLOR_MODES):
        raise ImageError(
            f"pixel format {image.mode} has no known range; save the image with 8 or 16 bits a"
            " channel"
        )
    if image.mode.startswith("I;16"):
        image = _to_eight_bits(image)
    elif channels == 4:
        return image.convert("RGBA")
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    wanted = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    if image.mode == wanted:
        return image
    return image.convert("RGB").convert(wanted)


def resize_image(image: "Image", size: tuple[int, int], resize: Resize) -> "Image":
    """Return an image at `size` (width, height): `stretch` ignores the proportions, `random_crop`
    cuts the longer side at its centre, `pad` keeps the whole image, with black bars beside it."""
    from PIL import Image, ImageOps

    if resize == "stretch":
        return image.resize(size, Image.Resampling.BICUBIC)
    if resize == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    inner = image.resize(_compute_scaled_size(image.size, size, resize), Image.Resampling.BICUBIC)
    canvas = Image.new(image.mode, size)
    canvas.paste(inner, (round((size[0] - inner.width) / 2), round((size[1] - inner.height) / 2)))
    return canvas


def _compute_scaled_size(
    given: tuple[int, int], size: tuple[int, int], resize: Resize
) -> tuple[int, int]:
    """Return the width and height of the whole image after scaling; at least 1 pixel, so that the
    thinnest image survives.
    """
    if resize == "stretch":
        return size
    ratios = (size[0] / given[0], size[1] / given[1])
    scale = min(ratios) if resize == "pad" else max(ratios)
    return max(1, round(given[0] * scale)), max(1, round(given[1] * scale))


def _to_eight_bits(image: "Image") -> "Image":
    """Scale 16-bit grey to 8 bits, to the nearest; a pixel value declared transparent becomes
    white.
    """
    import numpy
    from PIL import Image

    pixels = numpy.asarray(image)
    scaled = ((pixels.astype(numpy.uint32) + 128) // 257).astype(numpy.uint8)
    if "transparency" in image.info:
        scaled[pixels == image.info["transparency"]] = 255
    return Image.fromarray(scaled)


@cache
def _import_pillow() -> ModuleType:
    """Return PIL.Image, without its own limit on pixels, which would refuse what `max_megapixels`
    allows and cannot be set for one call, and without its warnings on damaged EXIF data, which name
    no file; such an image counts as upright."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return Image


@contextlib.contextmanager
def _explain_damage() -> Iterator[None]:
    """Turn whatever a decoder raises into an `ImageError`: on damaged files Pillow's plugins raise
    errors of a dozen types.
    """
    from PIL import UnidentifiedImageError

    try:
        yield
    except (ImageError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise ImageError("damaged, or not a PNG, JPEG, WebP, BMP or GIF image") from None
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:
        raise ImageError(f"damaged: {error}") from error
