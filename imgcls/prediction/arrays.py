"""Arrays as images to predict. Heavy zone."""

import io
from typing import Any

import numpy
from PIL import Image

from imgcls.errors import UserError
from imgcls.image import decode
from imgcls.store.file_reader import FileOpener

CHANNELS = (1, 3, 4)
"""The channels that image files can be decoded to."""


def read_array(array: Any, name: str, opener: FileOpener) -> numpy.ndarray:
    """Return an array as the model gets it, uint8 (height, width, channels).

    An array of the model's size is used as it is. Another one is resized as a PNG file with these
    pixels would be.

    Args:
        array: uint8 (height, width, channels), or (height, width) for one channel.
        name: of the image, for messages.

    Raises:
        UserError: it has another dtype, another number of axes, or other channels.
    """
    image = numpy.asarray(array)
    if image.dtype != numpy.uint8:
        raise UserError(
            f"image {name} is an array of {image.dtype}; give uint8, with values from 0 to 255, as"
            " the model was trained on: numbers from 0 to 1, or standardized ones, would be"
            " classified wrongly without an error"
        )
    if image.ndim == 2:
        image = image[..., None]
    channels = opener.shape[2]
    if image.ndim != 3 or 0 in image.shape:
        raise UserError(
            f"image {name} has the shape {image.shape}; give (height, width, {channels}), or a list"
            " or array of these"
        )
    if image.shape[2] != channels:
        raise UserError(
            f"image {name} has {image.shape[2]} channels, in the shape {image.shape}, but this"
            f" model's images have {channels}; convert it, or save it as a file, which is converted"
        )
    if image.shape == opener.shape:
        return image
    if channels not in CHANNELS:
        return decode.resize_pixels(image, opener.geometry)
    stream = io.BytesIO()
    pixels = image[..., 0] if channels == 1 else image
    Image.fromarray(pixels).save(stream, "PNG", compress_level=0)
    return opener.decode(stream.getvalue())
