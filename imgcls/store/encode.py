"""Encoding the images of a source for a store, as pixels or files, with statistics. Light zone."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from imgcls.datasets import BadImage, DataSettings, ImageSettings, Source
from imgcls.image import decode, image_statistics
from imgcls.image.decode import ImageError
from imgcls.image.image_statistics import ImageStatistics
from imgcls.io import terminal, threads
from imgcls.store import storage
from imgcls.store.storage import Storage, StoredForm, make_storage

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
class StoredImage(StoredForm):
    """The stored form of an image, with the statistics of the original."""

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
        return _FileEncoder(source, make_storage(settings, shape), settings.max_megapixels)
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

    def __init__(self, source: Source, storage: Storage, max_megapixels: float):
        self._source = source
        self._storage = storage
        self._max_megapixels = max_megapixels

    def encode(self, indices: Sequence[int]) -> Iterator[StoredImage | BadImage]:
        """Yield the stored form of some entries, encoded on all cores."""
        return threads.map_parallel(self._encode_entry, indices)

    def _encode_entry(self, index: int) -> StoredImage | BadImage:
        try:
            return self._encode(_read_file(self._source, index))
        except ImageError as error:
            return BadImage(id=self._source.entries[index].id, problem=str(error))

    def _encode(self, data: bytes) -> StoredImage:
        with decode.open_image(data, self._max_megapixels) as file:
            statistics, image = image_statistics.measure_image(file, self._storage.decode)
            form = self._storage.convert(file, image, data)
            return StoredImage(form.data, form.height, form.width, form.plain, statistics)


def get_stored_shape(source: Source, settings: DataSettings) -> tuple[int, int, int] | None:
    """Return height, width and channels of the stored pixels; None if images are stored encoded."""
    if not isinstance(settings, ImageSettings):
        return source.shape
    if settings.storage == "encoded":
        return None
    channels = settings.channels or _choose_channels(source, settings)
    return storage.get_stored_shape(settings, channels)


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
