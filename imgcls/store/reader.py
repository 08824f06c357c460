"""Reading stored images or crops of them, at the size of the model's input. Light zone.

Full images are decoded by imgcls/image/decode.py, so that training, evaluation and prediction see
the same pixels. Crops are for training only, and optimized for speed: a plain JPEG is decoded by
libjpeg-turbo with its fast transforms, and resized by OpenCV.
"""

import contextlib
import math
import os
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imgcls import environment
from imgcls.image import buffers, decode, jpeg
from imgcls.image.decode import Geometry
from imgcls.image.resize import flip_images, write_crop

if TYPE_CHECKING:
    import numpy

_scratch = buffers.Scratch()

Allocate = Callable[[tuple[int, ...]], "numpy.ndarray"]
"""A function that returns a uint8 array of a shape, for a reader to write its result to."""


def allocate_new(shape: tuple[int, ...]) -> "numpy.ndarray":
    """Return an uninitialized uint8 array in new memory."""
    import numpy

    return numpy.empty(shape, numpy.uint8)


class Reader(Protocol):
    """Reads images of a store.

    Attributes:
        geometry: of the images that `read` returns.
        needs_resize: whether images are encoded, or their stored shape differs from the
            geometry's, so that cropping them saves work.
        max_threads: the number of threads up to which reading gets faster.
    """

    geometry: Geometry
    needs_resize: bool
    max_threads: int

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the reader's geometry, uint8 (n, height, width, channels)."""

    def get_sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return the stored heights and widths of images, int32 (n, 2)."""

    def crop(
        self, indices: "numpy.ndarray", crops: "numpy.ndarray", flips: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a crop of each image, resized to the geometry's height and width.

        Args:
            crops: int32 (n, 4): top, left, height and width in the stored image.
            flips: bool (n,): which crops are flipped horizontally.

        Returns:
            uint8 (n, height, width, channels).
        """

    def close(self) -> None:
        """Close files and end data workers; the reader cannot be used afterwards."""


class PixelReader:
    """Reads images that are stored as arrays of one shape.

    Args:
        stored: uint8 (count, height, width, channels), memory-mapped.
    """

    def __init__(
        self, stored: "numpy.ndarray", geometry: Geometry, allocate: Allocate = allocate_new
    ):
        self._stored = stored
        self._allocate = allocate
        self.geometry = geometry
        self.needs_resize = stored.shape[1:] != geometry.shape
        self.max_threads = environment.count_cores()

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the reader's geometry, uint8 (n, height, width, channels)."""
        if not self.needs_resize:
            return self._stored[indices]
        images = (
            decode.resize_pixels(self._stored[index], self.geometry) for index in indices.tolist()
        )
        return _fill(self._allocate((len(indices), *self.geometry.shape)), images)

    def get_sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return the stored heights and widths of images, int32 (n, 2)."""
        import numpy

        return numpy.tile(numpy.array(self._stored.shape[1:3], numpy.int32), (len(indices), 1))

    def crop(
        self, indices: "numpy.ndarray", crops: "numpy.ndarray", flips: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a crop of each image, resized and some flipped, as `Reader.crop` says."""
        result = self._allocate((len(indices), *self.geometry.shape))
        for index, crop, target in zip(indices.tolist(), crops.tolist(), result, strict=True):
            write_crop(self._stored[index], crop, target)
        flip_images(result, flips)
        return result

    def close(self) -> None:
        """Do nothing: the memory map is closed when its array is deleted."""


class EncodedReader:
    """Reads images that are stored as encoded files, concatenated into one.

    Args:
        path: of the concatenated file. It is not memory-mapped, which would not be faster, but
            count as memory of the process.
        records: `encode.RECORD_DTYPE` (count,).
    """

    needs_resize = True

    def __init__(
        self,
        path: Path,
        records: "numpy.ndarray",
        geometry: Geometry,
        allocate: Allocate = allocate_new,
    ):
        self._file = os.open(path, os.O_RDONLY)
        self._close_file = weakref.finalize(self, os.close, self._file)
        self._records = records
        self._allocate = allocate
        self.geometry = geometry
        self.max_threads = environment.count_cores()

    def read_file(self, index: int) -> bytes:
        """Read the encoded file of an image."""
        record = self._records[index]
        return os.pread(self._file, int(record["length"]), int(record["start"]))

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the reader's geometry, uint8 (n, height, width, channels)."""
        images = (
            decode.decode_image(self.read_file(index), self.geometry, math.inf)
            for index in indices.tolist()
        )
        return _fill(self._allocate((len(indices), *self.geometry.shape)), images)

    def get_sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return the stored heights and widths of images, int32 (n, 2)."""
        import numpy

        records = self._records[indices]
        return numpy.stack([records["height"], records["width"]], axis=1).astype(numpy.int32)

    def crop(
        self, indices: "numpy.ndarray", crops: "numpy.ndarray", flips: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a crop of each image, resized and some flipped, as `Reader.crop` says."""
        result = self._allocate((len(indices), *self.geometry.shape))
        files, sizes = self._read_files(indices), self.get_sizes(indices)
        plain = self._records["plain"][indices].tolist()
        cropped = jpeg.crop_files(
            [data if is_plain else b"" for data, is_plain in zip(files, plain, strict=True)],
            sizes,
            crops,
        )
        each = zip(files, cropped, sizes.tolist(), plain, crops.tolist(), result, strict=True)
        for data, (smaller, region), size, is_plain, crop, target in each:
            pixels = _decode_fast(smaller, region[2:], crop, self.geometry) if is_plain else None
            if pixels is None:
                pixels, region = _decode_whole(data, self.geometry.shape[2]), (0, 0, *size)
            down, right = pixels.shape[0] / region[2], pixels.shape[1] / region[3]
            top, left = crop[0] - region[0], crop[1] - region[1]
            height, width = crop[2:]
            write_crop(
                pixels,
                [int(top * down), int(left * right), int(height * down), int(width * right)],
                target,
            )
        flip_images(result, flips)
        return result

    def close(self) -> None:
        """Close the file."""
        self._close_file()

    def _read_files(self, indices: "numpy.ndarray") -> list[memoryview]:
        """Read the encoded files of images; the bytes are valid until the thread's next call."""
        records = self._records[indices]
        starts, lengths = records["start"].tolist(), records["length"].tolist()
        buffer, files = _scratch.get_array("files", (sum(lengths),)).data, []
        for start, length in zip(starts, lengths, strict=True):
            files.append(buffer[:length])
            # A short read would leave bytes of an earlier image in the buffer.
            if os.preadv(self._file, files[-1:], start) != length:
                raise OSError(f"the file of encoded images ends before byte {start + length:,}")
            buffer = buffer[length:]
        return files


def _decode_whole(data: memoryview, channels: int) -> "numpy.ndarray":
    """Decode an image of any format at its full size, uint8 (height, width, channels)."""
    import numpy

    with decode.open_image(bytes(data), math.inf) as file:
        return numpy.atleast_3d(numpy.asarray(decode.decode_upright(file, channels)))


def _decode_fast(
    data: bytes | memoryview, size: tuple[int, int], crop: list[int], geometry: Geometry
) -> "numpy.ndarray | None":
    """Decode a plain JPEG at full, half or quarter size.

    The size is the smallest at which the crop is not smaller than the geometry.

    Args:
        size: height and width of the file.
        crop: top, left, height and width; only the last two are used.

    Returns:
        uint8 (height, width, channels), valid until the next call. None for four channels, and if
        libjpeg-turbo rejects a file that Pillow decoded when the store was built, for example for
        its version number; the caller then uses Pillow.
    """
    import simplejpeg

    if geometry.shape[2] == 4:
        return None
    min_size = [
        math.ceil(full * target / cropped)
        for full, target, cropped in zip(size, geometry.shape[:2], crop[2:], strict=True)
    ]
    with contextlib.suppress(ValueError):
        return simplejpeg.decode_jpeg(
            data,
            "GRAY" if geometry.shape[2] == 1 else "RGB",
            buffer=_scratch.get_array("decoded", (*size, geometry.shape[2])),
            fastdct=True,
            fastupsample=True,
            min_height=min(min_size[0], size[0]),
            min_width=min(min_size[1], size[1]),
            min_factor=2,
            strict=False,  # Pillow decoded the file when the store was built
        )
    return None


def _fill(target: "numpy.ndarray", images: Iterable["numpy.ndarray"]) -> "numpy.ndarray":
    """Copy images into an array, uint8 (n, height, width, channels), and return it."""
    for row, image in zip(target, images, strict=True):
        row[...] = image
    return target
