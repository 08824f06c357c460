"""Reading stored images or crops of them, at the size of the model's input. Light zone.

Full images are decoded by imgcls/image/decode.py, so that training, evaluation and prediction see
the same pixels. Crops are for training only, and optimized for speed: a plain JPEG is decoded by
libjpeg-turbo with its fast transforms, and resized by OpenCV.
"""

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imgcls import environment
from imgcls.image import buffers, decode, jpeg
from imgcls.image.decode import Geometry, ImageError
from imgcls.image.resize import flip_images, write_crop
from imgcls.io.open_file import OpenFile
from imgcls.store.changes import ADVICE

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
    """Reads images that are stored as pixels of one shape, one after the other.

    Args:
        path: of the file with the pixels, uint8.
        shape: height, width and channels of a stored image.
    """

    def __init__(
        self,
        path: Path,
        shape: tuple[int, int, int],
        geometry: Geometry,
        allocate: Allocate = allocate_new,
    ):
        self._file = OpenFile(path, ADVICE)
        self._shape = shape
        self._allocate = allocate
        self.geometry = geometry
        self.needs_resize = shape != geometry.shape
        self.max_threads = environment.count_cores()

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the reader's geometry, uint8 (n, height, width, channels)."""
        result = self._allocate((len(indices), *self.geometry.shape))
        if not self.needs_resize:
            self._read_runs(indices, result)
            return result
        for index, target in zip(indices.tolist(), result, strict=True):
            target[...] = decode.resize_pixels(
                self._read_rows(index, 0, self._shape[0]), self.geometry
            )
        return result

    def get_sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return the stored heights and widths of images, int32 (n, 2)."""
        import numpy

        return numpy.tile(numpy.array(self._shape[:2], numpy.int32), (len(indices), 1))

    def crop(
        self, indices: "numpy.ndarray", crops: "numpy.ndarray", flips: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a crop of each image, resized and some flipped, as `Reader.crop` says."""
        result = self._allocate((len(indices), *self.geometry.shape))
        for index, crop, target in zip(indices.tolist(), crops.tolist(), result, strict=True):
            top, left, height, width = crop
            write_crop(self._read_rows(index, top, height), [0, left, height, width], target)
        flip_images(result, flips)
        return result

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_runs(self, indices: "numpy.ndarray", result: "numpy.ndarray") -> None:
        """Read whole images into an array; those that are neighbors in the file, with one call."""
        import numpy

        size, buffer = math.prod(self._shape), result.reshape(-1).data
        starts = numpy.flatnonzero(numpy.diff(indices, prepend=-2) != 1).tolist()
        for start, end in itertools.pairwise([*starts, len(indices)]):
            self._file.read_into(buffer[start * size : end * size], int(indices[start]) * size)

    def _read_rows(self, index: int, top: int, count: int) -> "numpy.ndarray":
        """Read rows `top`, ..., `top + count - 1` of an image.

        Returns:
            uint8 (count, width, channels), valid until the thread's next call.
        """
        rows = _scratch.get_array("rows", (count, *self._shape[1:]))
        start = (index * self._shape[0] + top) * math.prod(self._shape[1:])
        self._file.read_into(rows.reshape(-1).data, start)
        return rows


class EncodedReader:
    """Reads images that are stored as encoded files, concatenated into one.

    Args:
        path: of the concatenated file.
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
        self._file = OpenFile(path, ADVICE)
        self._records = records
        self._allocate = allocate
        self.geometry = geometry
        self.max_threads = environment.count_cores()

    def read_file(self, index: int) -> bytes:
        """Read the encoded file of an image."""
        record = self._records[index]
        data = bytearray(int(record["length"]))
        self._file.read_into(memoryview(data), int(record["start"]))
        return bytes(data)

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the reader's geometry, uint8 (n, height, width, channels)."""
        result = self._allocate((len(indices), *self.geometry.shape))
        for index, target in zip(indices.tolist(), result, strict=True):
            data = self.read_file(index)
            with self._explain_damage(index):
                target[...] = decode.decode_image(data, self.geometry, math.inf)
        return result

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
        lists = (indices.tolist(), sizes.tolist(), plain, crops.tolist())
        each = zip(files, cropped, *lists, result, strict=True)
        for data, (smaller, region), index, size, is_plain, crop, target in each:
            pixels = _decode_fast(smaller, region[2:], crop, self.geometry) if is_plain else None
            if pixels is None:
                with self._explain_damage(index):
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
        self._file.close()

    def _read_files(self, indices: "numpy.ndarray") -> list[memoryview]:
        """Read the encoded files of images; the bytes are valid until the thread's next call."""
        records = self._records[indices]
        starts, lengths = records["start"].tolist(), records["length"].tolist()
        buffer, files = _scratch.get_array("files", (sum(lengths),)).data, []
        for start, length in zip(starts, lengths, strict=True):
            files.append(buffer[:length])
            self._file.read_into(files[-1], start)
            buffer = buffer[length:]
        return files

    @contextlib.contextmanager
    def _explain_damage(self, index: int) -> Iterator[None]:
        """Raise a `DataError` if an image cannot be decoded, as it could when it was stored."""
        try:
            yield
        except ImageError as error:
            problem = f"image {index:,} cannot be decoded: {error}"
            raise self._file.make_damage_error(problem) from None


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
