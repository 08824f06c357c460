"""The form in which a store holds image files: pixels of one shape, the files, or smaller JPEGs.

`prepare` writes this form to a store; `predict` makes it of each file, so that the model sees the
pixels that it would see of an image in the store. Light zone.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from imgcls.datasets import DataSettings, ImageSettings
from imgcls.image import decode, jpeg, jpeg_encode
from imgcls.image.decode import Geometry

if TYPE_CHECKING:
    import numpy
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class StoredForm:
    """What a store holds of an image file.

    Attributes:
        data: the encoded file, or pixels, uint8 (height, width, channels).
        height, width: after EXIF rotation.
        plain: whether it is a grayscale or RGB JPEG that is upright.
    """

    data: bytes | memoryview
    height: int
    width: int
    plain: bool


class Storage(Protocol):
    """Makes the stored form of image files."""

    def decode(self, file: "Image") -> "Image":
        """Decode an opened image as far as its stored form needs."""

    def convert(self, file: "Image", image: "Image", data: bytes) -> StoredForm:
        """Return the stored form of an image.

        Args:
            file: the opened image.
            image: what `decode` returned for it.
            data: the bytes of the file.
        """

    def read(self, file: "Image", data: bytes, geometry: Geometry) -> "numpy.ndarray":
        """Return the pixels that a reader of the store returns of an image.

        Args:
            file: the opened image.
            data: the bytes of the file.
            geometry: that of the reader.

        Returns:
            uint8 of the geometry's shape.
        """


@dataclass(frozen=True)
class PixelStorage:
    """Stores images as pixels of one shape.

    Attributes:
        geometry: of the stored pixels.
    """

    geometry: Geometry

    def decode(self, file: "Image") -> "Image":
        """Decode an opened image, a large JPEG at a fraction of its size."""
        return decode.decode_upright(file, self.geometry.shape[2], self.geometry)

    def convert(self, file: "Image", image: "Image", data: bytes) -> StoredForm:
        """Return the pixels of an image, as `Storage.convert` says."""
        height, width, _ = self.geometry.shape
        return StoredForm(decode.fit_to_size(image, self.geometry).data, height, width, False)

    def read(self, file: "Image", data: bytes, geometry: Geometry) -> "numpy.ndarray":
        """Return the pixels that a reader of the store returns, as `Storage.read` says."""
        pixels = decode.fit_to_size(self.decode(file), self.geometry)
        if self.geometry.shape == geometry.shape:
            return pixels
        return decode.resize_pixels(pixels, geometry)


@dataclass(frozen=True)
class EncodedStorage:
    """Stores image files as they are, or shrunk, or encoded again with restart markers.

    Attributes:
        short_side: images with a longer short side are shrunk to this many pixels, unless None.
        restart_markers: whether plain JPEGs get restart markers.
    """

    short_side: int | None = None
    restart_markers: bool = False

    def decode(self, file: "Image") -> "Image":
        """Decode an opened image at its full size, in grayscale or color as it is."""
        return decode.decode_upright(file, 1 if decode.is_grayscale(file) else 3)

    def convert(self, file: "Image", image: "Image", data: bytes) -> StoredForm:
        """Return the file to store, as `Storage.convert` says."""
        plain, short_side = decode.is_plain(file), self._find_short_side(image.size)
        if short_side is not None:
            image, plain = decode.shrink(image, short_side), True
            data = jpeg_encode.encode_jpeg(image, self.restart_markers)
        elif plain:
            data = jpeg_encode.encode_jpeg(image, self.restart_markers, original=data)
        return StoredForm(data, image.height, image.width, plain)

    def read(self, file: "Image", data: bytes, geometry: Geometry) -> "numpy.ndarray":
        """Return the pixels that a reader of the store returns, as `Storage.read` says."""
        encodes_again = self.restart_markers or jpeg.has_index(data)
        shrinks = self._find_short_side(file.size) is not None
        if shrinks or (encodes_again and decode.is_plain(file)):
            form = self.convert(file, self.decode(file), data)
            return decode.decode_image(bytes(form.data), geometry, math.inf)
        return decode.decode_opened(file, geometry)

    def _find_short_side(self, size: tuple[int, int]) -> int | None:
        """Return the short side to shrink an image to, in pixels; None if it keeps its size."""
        if self.short_side is None or min(size) <= self.short_side:
            return None
        return self.short_side


def make_storage(settings: ImageSettings, shape: tuple[int, int, int] | None) -> Storage:
    """Return how the store of a data set of image files holds them.

    Args:
        shape: height, width and channels of stored pixels; None if images are stored encoded.
    """
    if shape:
        return PixelStorage(Geometry(shape, settings.resize))
    return EncodedStorage(settings.short_side, settings.restart_markers)


def make_storage_of_run(settings: DataSettings, channels: int) -> Storage:
    """Return how a run's store holds image files, or would hold them if its source had files.

    Args:
        channels: of the model's images, which are those of stored pixels.
    """
    if not isinstance(settings, ImageSettings):
        return EncodedStorage()
    encoded = settings.storage == "encoded"
    return make_storage(settings, None if encoded else get_stored_shape(settings, channels))


def get_stored_shape(settings: ImageSettings, channels: int) -> tuple[int, int, int]:
    """Return height, width and channels of the pixels that a data set of image files stores."""
    height, width = settings.stored_size or settings.size
    return height, width, channels
