"""Reading stored images as the model sees them: whole, at a geometry, or windows of them, as augmentation cuts them. Light zone.

Whole images go through imgcls/images.py, so that training, evaluation and prediction see the same pixels. Windows are for training alone
and made fast: a plain JPEG is decoded by libjpeg-turbo with its fast transforms, and resized by OpenCV.
"""

import contextlib
import math
import os
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imgcls import buffers, images, jpeg
from imgcls.images import Geometry

if TYPE_CHECKING:
    import numpy

ALIASING = 1.5
"""From which reduction on a window is smoothed before it is sampled: below, that changes less than 2.4 of 255 grey levels, in the mean."""


_scratch = buffers.Scratch()


class Reader(Protocol):
    """Reads images of a store.

    Attributes:
        geometry: what `read` brings every image to.
        larger: whether the stored images hold more than that, so that windows are worth cutting.
    """

    geometry: Geometry
    larger: bool

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the geometry, uint8 (n, height, width, channels)."""

    def sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return height and width of images as they are stored, int32 (n, 2)."""

    def cut(self, indices: "numpy.ndarray", windows: "numpy.ndarray") -> "numpy.ndarray":
        """Return a window of each image, resized to the geometry's height and width, uint8 (n, height, width, channels).

        Args:
            windows: int32 (n, 4): top, left, height and width in the stored image.
        """


class Pixels:
    """Reads images that are stored as pixels of one shape.

    Args:
        stored: uint8 (count, height, width, channels), memory-mapped.
    """

    def __init__(self, stored: "numpy.ndarray", geometry: Geometry):
        self._stored = stored
        self.geometry = geometry
        self._batches = buffers.Batches()
        self.larger = stored.shape[1:] != geometry.shape

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the geometry, uint8 (n, height, width, channels)."""
        if not self.larger:
            return self._stored[indices]
        return _stack(self.geometry, (images.from_pixels(self._stored[index], self.geometry) for index in indices.tolist()))

    def sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return height and width of images as they are stored, int32 (n, 2)."""
        import numpy

        return numpy.tile(numpy.int32(self._stored.shape[1:3]), (len(indices), 1))

    def cut(self, indices: "numpy.ndarray", windows: "numpy.ndarray") -> "numpy.ndarray":
        """Return a window of each image, resized to the geometry's height and width."""
        result = self._batches.array((len(indices), *self.geometry.shape))
        for index, window, target in zip(indices.tolist(), windows.tolist(), result, strict=True):
            _write_window(self._stored[index], window, target)
        return result


class Encoded:
    """Reads images that are stored as files one behind the other.

    Args:
        path: of the file that holds them all. It is read, not memory-mapped, which would be as fast, but count as the process's memory.
        records: `keeping.RECORD` (count,), where each lies.
    """

    larger = True

    def __init__(self, path: Path, records: "numpy.ndarray", geometry: Geometry):
        self._file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self._file)
        self._records = records
        self.geometry = geometry
        self._batches = buffers.Batches()

    def file(self, index: int) -> bytes:
        """Return the bytes of an image's file."""
        record = self._records[index]
        return os.pread(self._file, int(record["length"]), int(record["start"]))

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the geometry, uint8 (n, height, width, channels)."""
        return _stack(self.geometry, (images.read_image(self.file(index), self.geometry, math.inf) for index in indices.tolist()))

    def sizes(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return height and width of images as they are stored, int32 (n, 2)."""
        import numpy

        chosen = self._records[indices]
        return numpy.stack([chosen["height"], chosen["width"]], axis=1).astype(numpy.int32)

    def cut(self, indices: "numpy.ndarray", windows: "numpy.ndarray") -> "numpy.ndarray":
        """Return a window of each image, resized to the geometry's height and width."""
        result = self._batches.array((len(indices), *self.geometry.shape))
        files, sizes, plain = self._files(indices), self.sizes(indices), self._records["plain"][indices]
        cut = jpeg.cut([data if is_plain else b"" for data, is_plain in zip(files, plain, strict=True)], sizes, windows)
        each = zip(files, cut, sizes.tolist(), plain.tolist(), windows.tolist(), result, strict=True)
        for data, (smaller, part), size, is_plain, window, target in each:
            pixels = _decoded_fast(smaller, part[2:], window, self.geometry) if is_plain else None
            if pixels is None:
                pixels, part = _decoded(data, self.geometry.shape[2]), (0, 0, *size)
            down, right = pixels.shape[0] / part[2], pixels.shape[1] / part[3]
            top, left, height, width = window[0] - part[0], window[1] - part[1], *window[2:]
            _write_window(pixels, [int(top * down), int(left * right), int(height * down), int(width * right)], target)
        return result

    def _files(self, indices: "numpy.ndarray") -> list[memoryview]:
        """Return the bytes of some images' files, valid until the thread's next call."""
        records = self._records[indices]
        starts, lengths = records["start"].tolist(), records["length"].tolist()
        room, files = memoryview(_scratch.array("files", (sum(lengths),))), []
        for start, length in zip(starts, lengths, strict=True):
            files.append(room[:length])
            os.preadv(self._file, files[-1:], start)
            room = room[length:]
        return files


def mirror(images: "numpy.ndarray", chosen: "numpy.ndarray") -> None:
    """Turn some images left to right, in place.

    Args:
        images: uint8 (n, height, width, channels).
        chosen: bool (n,).
    """
    import cv2

    for place in chosen.nonzero()[0].tolist():
        cv2.flip(images[place], 1, dst=images[place])


def _decoded(data: memoryview, channels: int) -> "numpy.ndarray":
    """Return an image of any format as it is stored, uint8 (height, width, channels)."""
    import numpy

    with images.opened(bytes(data), math.inf) as file:
        return numpy.atleast_3d(numpy.asarray(images.decoded(file, channels)))


def _decoded_fast(data: bytes | memoryview, whole: tuple[int, int], window: list[int], geometry: Geometry) -> "numpy.ndarray | None":
    """Decode a plain JPEG at its size, a half or a quarter, whichever is the smallest that leaves the window enough pixels.

    Args:
        whole: height and width of the file.
        window: of which height and width count.

    Returns:
        uint8 (height, width, channels), valid until the next call. None for four channels, and where the library refuses what Pillow
        decoded when the store was built, such as a damaged version number: a run must not die of it.
    """
    import simplejpeg

    if geometry.shape[2] == 4:
        return None
    least = [math.ceil(side * wanted / given) for side, wanted, given in zip(whole, geometry.shape[:2], window[2:], strict=True)]
    with contextlib.suppress(ValueError):
        return simplejpeg.decode_jpeg(
            data,
            "GRAY" if geometry.shape[2] == 1 else "RGB",
            buffer=_scratch.array("decoded", (*whole, geometry.shape[2])),
            fastdct=True,
            fastupsample=True,
            min_height=min(least[0], whole[0]),
            min_width=min(least[1], whole[1]),
            min_factor=2,
            strict=False,  # what Pillow decoded when the store was built is good enough
        )
    return None


def _write_window(pixels: "numpy.ndarray", window: list[int], target: "numpy.ndarray") -> None:
    """Resize a window of an image, bilinearly and antialiased, to the height and width of an array, and write it there.

    An array of its own for every window would take a third of the time, and Python's lock once more: two threads would gain little.

    What shrinks by two and more is averaged over whole pixels first. What then still shrinks much is smoothed, with the variance that
    Pillow's antialiased filter would add: (r * r - 1) / 6 along an axis that shrinks by r. The result is within 3 grey levels of
    Pillow's on photos, in the mean, at a fifth of its time.
    """
    import cv2

    top, left, height, width = window
    cut = pixels[top : top + max(height, 1), left : left + max(width, 1)]
    target_height, target_width = target.shape[:2]
    size = (cut.shape[1] // max(1, cut.shape[1] // target_width), cut.shape[0] // max(1, cut.shape[0] // target_height))
    if size != cut.shape[1::-1]:
        room = _scratch.array("averaged", (size[1], size[0], cut.shape[2]))
        cut = cv2.resize(cut, size, dst=room, interpolation=cv2.INTER_AREA)
    down, right = cut.shape[0] / target_height, cut.shape[1] / target_width
    if max(down, right) > ALIASING:
        room = _scratch.array("smoothed", cut.shape)
        cut = cv2.sepFilter2D(cut, -1, _smoothing(right), _smoothing(down), dst=room, borderType=cv2.BORDER_REPLICATE)
    cv2.resize(cut, (target_width, target_height), dst=target, interpolation=cv2.INTER_LINEAR)


def _smoothing(reduction: float) -> "numpy.ndarray":
    """Return three weights whose variance is what an axis lacks that shrinks by `reduction`, less than two."""
    import numpy

    side = (max(reduction, 1.0) ** 2 - 1) / 12
    return numpy.float32([side, 1 - 2 * side, side])


def _stack(geometry: Geometry, found: Iterable["numpy.ndarray"]) -> "numpy.ndarray":
    """Return images as one array, uint8 (n, height, width, channels)."""
    import numpy

    arrays = list(found)
    return numpy.stack(arrays) if arrays else numpy.empty((0, *geometry.shape), numpy.uint8)
