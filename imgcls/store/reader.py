"""Reading stored images as the model sees them: whole, at a geometry, or windows of them, as
augmentation cuts them. Light zone.

Whole images go through imgcls/image/decode.py, so that training, evaluation and prediction see the
same pixels. Windows are for training alone and made fast: a plain JPEG is decoded by libjpeg-turbo
with its fast transforms, and resized by OpenCV.
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
"""Makes an array, uint8, of a shape, to which a reader writes what it returns."""


def allocate_new(shape: tuple[int, ...]) -> "numpy.ndarray":
    """Return an array, uint8, of any content, in memory of its own."""
    import numpy

    return numpy.empty(shape, numpy.uint8)


class Reader(Protocol):
    """Reads images of a store.

    Attributes:
        geometry: what `read` brings every image to.
        larger: whether the stored images hold more than that, so that windows are worth cutting.
        parallel: how many threads may read at once with any gain.
    """

    geometry: Geometry
    larger: bool
    parallel: int

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the geometry, uint8 (n, height, width, channels)."""

    def sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return height and width of images as they are stored, int32 (n, 2)."""

    def crop(
        self, indices: "numpy.ndarray", windows: "numpy.ndarray", mirrored: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a window of each image, resized to the geometry's height and width, uint8 (n,
        height, width, channels).

        Args:
            windows: int32 (n, 4): top, left, height and width in the stored image.
            mirrored: bool (n,): which windows are turned left to right.
        """

    def close(self) -> None:
        """Free what the reader holds of the system; it must not be asked any more."""


class PixelReader:
    """Reads images that are stored as pixels of one shape.

    Args:
        stored: uint8 (count, height, width, channels), memory-mapped.
    """

    def __init__(self, stored: "numpy.ndarray", geometry: Geometry, room: Allocate = allocate_new):
        self._stored = stored
        self._room = room
        self.geometry = geometry
        self.larger = stored.shape[1:] != geometry.shape
        self.parallel = environment.count_cores()

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the geometry, uint8 (n, height, width, channels)."""
        if not self.larger:
            return self._stored[indices]
        found = (
            decode.resize_pixels(self._stored[index], self.geometry) for index in indices.tolist()
        )
        return _fill(self._room((len(indices), *self.geometry.shape)), found)

    def sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return height and width of images as they are stored, int32 (n, 2)."""
        import numpy

        return numpy.tile(numpy.int32(self._stored.shape[1:3]), (len(indices), 1))

    def crop(
        self, indices: "numpy.ndarray", windows: "numpy.ndarray", mirrored: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a window of each image, resized to the geometry's height and width, some of them
        mirrored.
        """
        result = self._room((len(indices), *self.geometry.shape))
        for index, window, target in zip(indices.tolist(), windows.tolist(), result, strict=True):
            write_crop(self._stored[index], window, target)
        flip_images(result, mirrored)
        return result

    def close(self) -> None:
        """Do nothing: a mapping goes with its array."""


class EncodedReader:
    """Reads images that are stored as files one behind the other.

    Args:
        path: of the file that holds them all. It is read, not memory-mapped, which would be as
            fast, but count as the process's memory.
        records: `keeping.RECORD` (count,), where each lies.
    """

    larger = True

    def __init__(
        self,
        path: Path,
        records: "numpy.ndarray",
        geometry: Geometry,
        room: Allocate = allocate_new,
    ):
        self._file = os.open(path, os.O_RDONLY)
        self._closing = weakref.finalize(self, os.close, self._file)
        self._records = records
        self._room = room
        self.geometry = geometry
        self.parallel = environment.count_cores()

    def file(self, index: int) -> bytes:
        """Return the bytes of an image's file."""
        record = self._records[index]
        return os.pread(self._file, int(record["length"]), int(record["start"]))

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the geometry, uint8 (n, height, width, channels)."""
        found = (
            decode.decode_image(self.file(index), self.geometry, math.inf)
            for index in indices.tolist()
        )
        return _fill(self._room((len(indices), *self.geometry.shape)), found)

    def sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return height and width of images as they are stored, int32 (n, 2)."""
        import numpy

        chosen = self._records[indices]
        return numpy.stack([chosen["height"], chosen["width"]], axis=1).astype(numpy.int32)

    def crop(
        self, indices: "numpy.ndarray", windows: "numpy.ndarray", mirrored: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a window of each image, resized to the geometry's height and width, some of them
        mirrored.
        """
        result = self._room((len(indices), *self.geometry.shape))
        files, sizes, plain = (
            self._files(indices),
            self.sizes(indices),
            self._records["plain"][indices],
        )
        cut = jpeg.crop_files(
            [data if is_plain else b"" for data, is_plain in zip(files, plain, strict=True)],
            sizes,
            windows,
        )
        each = zip(
            files, cut, sizes.tolist(), plain.tolist(), windows.tolist(), result, strict=True
        )
        for data, (smaller, part), size, is_plain, window, target in each:
            pixels = _decode_fast(smaller, part[2:], window, self.geometry) if is_plain else None
            if pixels is None:
                pixels, part = _decode_whole(data, self.geometry.shape[2]), (0, 0, *size)
            down, right = pixels.shape[0] / part[2], pixels.shape[1] / part[3]
            top, left, height, width = window[0] - part[0], window[1] - part[1], *window[2:]
            write_crop(
                pixels,
                [int(top * down), int(left * right), int(height * down), int(width * right)],
                target,
            )
        flip_images(result, mirrored)
        return result

    def close(self) -> None:
        """Close the file."""
        self._closing()

    def _files(self, indices: "numpy.ndarray") -> list[memoryview]:
        """Return the bytes of some images' files, valid until the thread's next call."""
        records = self._records[indices]
        starts, lengths = records["start"].tolist(), records["length"].tolist()
        room, files = memoryview(_scratch.get_array("files", (sum(lengths),))), []
        for start, length in zip(starts, lengths, strict=True):
            files.append(room[:length])
            if os.preadv(self._file, files[-1:], start) != length:
                raise OSError(
                    f"the file of encoded images ends before byte {start + length:,}"
                )  # else an older image's bytes would show
            room = room[length:]
        return files


def _decode_whole(data: memoryview, channels: int) -> "numpy.ndarray":
    """Return an image of any format as it is stored, uint8 (height, width, channels)."""
    import numpy

    with decode.open_image(bytes(data), math.inf) as file:
        return numpy.atleast_3d(numpy.asarray(decode.decode_upright(file, channels)))


def _decode_fast(
    data: bytes | memoryview, whole: tuple[int, int], window: list[int], geometry: Geometry
) -> "numpy.ndarray | None":
    """Decode a plain JPEG at its size, a half or a quarter, whichever is the smallest that leaves
    the window enough pixels.

    Args:
        whole: height and width of the file.
        window: of which height and width count.

    Returns:
        uint8 (height, width, channels), valid until the next call. None for four channels, and
        where the library refuses what Pillow decoded when the store was built, such as a damaged
        version number: a run must not die of it.
    """
    import simplejpeg

    if geometry.shape[2] == 4:
        return None
    least = [
        math.ceil(side * wanted / given)
        for side, wanted, given in zip(whole, geometry.shape[:2], window[2:], strict=True)
    ]
    with contextlib.suppress(ValueError):
        return simplejpeg.decode_jpeg(
            data,
            "GRAY" if geometry.shape[2] == 1 else "RGB",
            buffer=_scratch.get_array("decoded", (*whole, geometry.shape[2])),
            fastdct=True,
            fastupsample=True,
            min_height=min(least[0], whole[0]),
            min_width=min(least[1], whole[1]),
            min_factor=2,
            strict=False,  # what Pillow decoded when the store was built is good enough
        )
    return None


def _fill(target: "numpy.ndarray", found: Iterable["numpy.ndarray"]) -> "numpy.ndarray":
    """Copy images into an array, uint8 (n, height, width, channels), and return it."""
    for row, image in zip(target, found, strict=True):
        row[...] = image
    return target
