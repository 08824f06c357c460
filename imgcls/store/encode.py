"""Encoding the images of a source for a store, as pixels or files, with statistics. Light zone."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from imgcls.datasets import BadImage, DataSettings, ImageSettings, Source
from imgcls.image import decode, image_statistics, jpeg_encode
from imgcls.image.decode import Geometry, ImageError
from imgcls.image.image_statistics import ImageStatistics
from imgcls.io import terminal, threads

if TYPE_CHECKING:
    import numpy

RECORD_DTYPE = [
    ("start", "<u8"),
    ("length", "<u8"),
    ("height", "<u4"),
    ("width", "<u4"),
    ("plain", "?"),
]
"""The record of an encoded image: start and length in images.bin, in bytes; height and width after
EXIF rotation; whether it is a plain JPEG, that is grayscale or RGB and upright.
"""

_BLOCK_BYTES = 4 << 20  # pixels whose statistics are computed at a time


@dataclass(frozen=True, slots=True)
class StoredImage:
    """The stored form of an image.

    Attributes:
        data: the encoded file, or pixels, uint8 (height, width, channels).
        height, width: after EXIF rotation.
        plain: whether it is a grayscale or RGB JPEG that is upright.
    """

    data: bytes | memoryview
    height: int
    width: int
    plain: bool
    statistics: ImageStatistics


class Encoder(Protocol):
    """Reads entries of a source, and encodes them for a store."""

    def encode(self, indices: Sequence[int]) -> Iterator[StoredImage | BadImage]:
        """Yield the stored form of some entries in order, with few of them in memory at a time."""


def make_encoder(
    source: Source, settings: DataSettings, shape: tuple[int, int, int] | None
) -> Encoder:
    """Return the encoder of a source.

    Args:
        shape: result of `get_stored_shape` for the source and settings.
    """
    if isinstance(settings, ImageSettings):
        return _FileEncoder(source, settings, shape)
    assert shape is not None  # only image files are stored encoded
    return _PixelEncoder(source, shape)


class _PixelEncoder:
    """Stores the pixels of a source unchanged."""

    def __init__(self, source: Source, shape: tuple[int, int, int]):
        self._source = source
        self._shape = shape

    def encode(self, indices: Sequence[int]) -> Iterator[StoredImage]:
        """Yield the pixels of some entries.

        Raises:
            ValueError: the dataset part has a bug: an image has another shape or dtype than stated.
        """
        import numpy

        height, width, _ = self._shape
        block_size = max(1, _BLOCK_BYTES // math.prod(self._shape))
        for start in range(0, len(indices), block_size):
            block = indices[start : start + block_size]
            pixels = numpy.stack([self._read(index) for index in block])
            rows = zip(pixels, image_statistics.measure_pixels(pixels), strict=True)
            for image, statistics in rows:
                yield StoredImage(image.data, height, width, False, statistics)

    def _read(self, index: int) -> "numpy.ndarray":
        image = self._source.read(index)
        if isinstance(image, bytes) or image.shape != self._shape or image.dtype != "uint8":
            name = self._source.entries[index].id
            received = "bytes" if isinstance(image, bytes) else f"{image.shape} {image.dtype}"
            raise ValueError(f"{name}: a source of {self._shape} uint8 images gave {received}")
        return image


class _FileEncoder:
    """Stores image files: as pixels of one shape, unchanged, or shrunk."""

    def __init__(self, source: Source, settings: ImageSettings, shape: tuple[int, int, int] | None):
        self._source = source
        self._settings = settings
        self._encode = self._make_pixel_encoder(shape) if shape else self._encode_file

    def encode(self, indices: Sequence[int]) -> Iterator[StoredImage | BadImage]:
        """Yield the stored form of some entries, encoded on all cores."""
        return threads.map_parallel(self._encode_entry, indices)

    def _encode_entry(self, index: int) -> StoredImage | BadImage:
        try:
            return self._encode(_read_file(self._source, index))
        except ImageError as error:
            return BadImage(id=self._source.entries[index].id, problem=str(error))

    def _make_pixel_encoder(self, shape: tuple[int, int, int]) -> Callable[[bytes], StoredImage]:
        geometry = Geometry(shape, self._settings.resize)

        def encode(data: bytes) -> StoredImage:
            with decode.open_image(data, self._settings.max_megapixels) as file:
                statistics, image = image_statistics.measure_image(file, shape[2], geometry)
                pixels = decode.fit_to_size(image, geometry)
                return StoredImage(pixels.data, shape[0], shape[1], False, statistics)

        return encode

    def _encode_file(self, data: bytes) -> StoredImage:
        short_side, markers = self._settings.short_side, self._settings.restart_markers
        with decode.open_image(data, self._settings.max_megapixels) as file:
            plain = decode.is_plain(file)
            statistics, image = image_statistics.measure_image(
                file, 1 if decode.is_grayscale(file) else 3
            )
            if short_side and min(image.size) > short_side:
                image, plain = decode.shrink(image, short_side), True
                data = jpeg_encode.encode_jpeg(image, markers)
            elif plain:
                data = jpeg_encode.encode_jpeg(image, markers, original=data)
            return StoredImage(data, image.height, image.width, plain, statistics)


def get_stored_shape(source: Source, settings: DataSettings) -> tuple[int, int, int] | None:
    """Return height, width and channels of the stored pixels; None if images are stored encoded."""
    if not isinstance(settings, ImageSettings):
        return source.shape
    if settings.storage == "encoded":
        return None
    height, width = settings.stored_size or settings.size
    return height, width, settings.channels or _choose_channels(source, settings)


def _read_file(source: Source, index: int) -> bytes:
    """Return the bytes of an image file; anything else is a bug of the dataset part."""
    data = source.read(index)
    if not isinstance(data, bytes):
        raise TypeError(f"{source.entries[index].id}: a source of image files gave {type(data)}")
    return data


def _choose_channels(source: Source, settings: ImageSettings) -> int:
    """Return 3 if any image is in color, or else 1; bad images are skipped, and reported later."""
    for index, entry in enumerate(source.entries):
        try:
            with decode.open_image(_read_file(source, index), settings.max_megapixels) as file:
                grayscale = decode.is_grayscale(file)
        except ImageError:
            continue
        if not grayscale:
            terminal.note(
                f"3 channels, since {terminal.to_printable(entry.id)} is in color; to choose, set"
                " data.channels"
            )
            return 3
    terminal.note("1 channel, since every image is grayscale; to choose, set data.channels")
    return 1
