"""Images from files, each kind handled on purpose: the one way from a file to pixels, for training and prediction. Light zone.

Formats: PNG, JPEG, WebP, BMP, and the first frame of a GIF, told by their content. EXIF rotation is applied. Transparency is laid on
white. 16-bit grey is scaled so that 65535 becomes 255, not clipped. Colour profiles are ignored. Resizing is bicubic and antialiased.
"""

import contextlib
import os
import stat
import warnings
from collections.abc import Iterator
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
_GREY_MODES = ("1", "L", "LA", "I;16", "I;16B", "I;16L")
_COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK")
_SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_ORIENTATION = 0x0112


class ImageError(Exception):
    """An image that cannot be used; the message says why, for a sentence that names the file."""


def read_image(path: Path, shape: tuple[int, int, int], resize: Resize, max_megapixels: float) -> "numpy.ndarray":
    """Read an image file as uint8 of a given shape (height, width, channels); 1 channel is grey, 3 are RGB.

    A large JPEG is decoded at a fraction of its size, but at least twice the size needed, which saves most of the time.

    Raises:
        ImageError: the file is unreadable, damaged, no image, or larger than `max_megapixels`.
    """
    import numpy
    from PIL import ImageOps

    height, width, channels = shape
    with _damage_named(), _opened(path, max_megapixels) as image:
        target = (height, width) if image.getexif().get(_ORIENTATION) in _SIDEWAYS else (width, height)
        needed = _scaled(image.size, target, resize)
        image.draft(None, (2 * needed[0], 2 * needed[1]))
        ImageOps.exif_transpose(image, in_place=True)  # which loads the pixels, too
    image = resized(flattened(image, channels), (width, height), resize)
    return numpy.array(image).reshape(shape)


def is_grey(path: Path, max_megapixels: float) -> bool:
    """Tell from the header alone whether an image is grey: by its pixel format, or by a palette of greys.

    Raises:
        ImageError: as `read_image`.
    """
    with _damage_named(), _opened(path, max_megapixels) as image:
        if image.mode != "P":
            return image.mode in _GREY_MODES
        order, entries = image.palette.getdata()
        step = len(order)  # RGB, or BGRX in a BMP: the first three are the colours
        return all(entries[i] == entries[i + 1] == entries[i + 2] for i in range(0, len(entries) - step + 1, step))


def flattened(image: "Image", channels: int) -> "Image":
    """Return an image of any pixel format as 8-bit grey (`channels` 1) or RGB (3), with transparency laid on white.

    Raises:
        ImageError: the pixel format has no known range, such as 32-bit integers and floats.
    """
    from PIL import Image

    if image.mode not in (*_GREY_MODES, *_COLOUR_MODES):
        raise ImageError(f"pixel format {image.mode} has no known range; save the image with 8 or 16 bits a channel")
    if image.mode.startswith("I;16"):
        image = _eight_bits(image)
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    if image.mode == ("RGB" if channels == 3 else "L"):
        return image
    return image.convert("RGB") if channels == 3 else image.convert("RGB").convert("L")


def resized(image: "Image", size: tuple[int, int], resize: Resize) -> "Image":
    """Return an image at `size` (width, height): `stretch` ignores the proportions, `crop` cuts the longer side at its centre,
    `pad` keeps the whole image, with black bars beside it."""
    from PIL import Image, ImageOps

    if resize == "stretch":
        return image.resize(size, Image.Resampling.BICUBIC)
    if resize == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BICUBIC)
    inner = image.resize(_scaled(image.size, size, resize), Image.Resampling.BICUBIC)
    canvas = Image.new(image.mode, size)
    canvas.paste(inner, (round((size[0] - inner.width) / 2), round((size[1] - inner.height) / 2)))
    return canvas


def _scaled(given: tuple[int, int], size: tuple[int, int], resize: Resize) -> tuple[int, int]:
    """Return the width and height of the whole image after scaling; at least 1 pixel, so that the thinnest image survives."""
    if resize == "stretch":
        return size
    ratios = (size[0] / given[0], size[1] / given[1])
    scale = min(ratios) if resize == "pad" else max(ratios)
    return max(1, round(given[0] * scale)), max(1, round(given[1] * scale))


def _eight_bits(image: "Image") -> "Image":
    """Scale 16-bit grey to 8 bits, to the nearest; a pixel value declared transparent becomes white."""
    import numpy
    from PIL import Image

    pixels = numpy.asarray(image)
    scaled = ((pixels.astype(numpy.uint32) + 128) // 257).astype(numpy.uint8)
    if "transparency" in image.info:
        scaled[pixels == image.info["transparency"]] = 255
    return Image.fromarray(scaled)


def _opened(path: Path, max_megapixels: float) -> "Image":
    """Open an image, of which only the header is read, and check its size in bytes and in pixels."""
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("not a regular file")  # to open a named pipe would wait for ever
    if status.st_size == 0:
        raise ImageError("empty file (0 bytes)")
    image = _pillow().open(path, formats=_FORMATS)
    megapixels = image.width * image.height / 1e6
    if megapixels > max_megapixels:
        image.close()
        raise ImageError(f"too large: {image.width}x{image.height} is {megapixels:.1f} megapixels, data.max_megapixels is {max_megapixels}")
    return image


@cache
def _pillow() -> ModuleType:
    """Return PIL.Image, without its own limit on pixels, which would refuse what `max_megapixels` allows and cannot be set for one call,
    and without its warnings on damaged EXIF data, which name no file; such an image counts as upright."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    warnings.filterwarnings("ignore", module=r"PIL\.")
    return Image


@contextlib.contextmanager
def _damage_named() -> Iterator[None]:
    """Turn whatever a decoder raises into an `ImageError`: on damaged files Pillow's plugins raise errors of a dozen types."""
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
