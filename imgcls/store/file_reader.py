"""Reading image files as a run's store would give them to the model. Light zone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.image import decode
from imgcls.image.decode import Geometry, ImageError
from imgcls.store.data_workers import CHUNK, DataWorkers
from imgcls.store.reader import Allocate
from imgcls.store.storage import Storage

if TYPE_CHECKING:
    import numpy

_MAX_WITHOUT_WORKERS = 16
"""Images up to which no data worker is asked: to start one takes as long as to read some dozens."""
_MIN_CHUNK = 8
"""Images per request, at least, of a batch that is divided among the data workers."""


@dataclass(frozen=True)
class FileOpener:
    """What decides the pixels of an image file; opens a `FileReader` in a data worker.

    Attributes:
        storage: the form in which the store holds image files.
        geometry: of the model's images.
        max_megapixels: a larger image is not decoded.
    """

    storage: Storage
    geometry: Geometry
    max_megapixels: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that are read."""
        return self.geometry.shape

    def open(self, allocate: Allocate) -> "FileReader":
        """Return the reader."""
        return FileReader(self, allocate)

    def __str__(self) -> str:
        return "image files"

    def decode(self, data: bytes) -> "numpy.ndarray":
        """Return the pixels of an image file that the model gets, uint8 of the geometry's shape.

        Raises:
            ImageError: the image is damaged, or too large.
        """
        with decode.open_image(data, self.max_megapixels) as file:
            return self.storage.read(file, data, self.geometry)


class FileReader:
    """Reads image files, one after the other."""

    def __init__(self, opener: FileOpener, allocate: Allocate):
        self._opener = opener
        self._allocate = allocate

    def read(self, paths: Sequence[str]) -> list[str | None]:
        """Read files into allocated memory; return why each cannot be used, or None."""
        images = self._allocate((len(paths), *self._opener.shape))
        return [self._read_into(path, image) for path, image in zip(paths, images, strict=True)]

    def _read_into(self, path: str, target: "numpy.ndarray") -> str | None:
        try:
            target[...] = self._opener.decode(decode.read_file(Path(path)))
        except ImageError as error:
            return str(error)
        return None


class FileReaderPool:
    """Reads image files in data workers; several threads can use it.

    Args:
        data_workers: how many; one per core unless given.
    """

    def __init__(self, opener: FileOpener, data_workers: int | None):
        self._opener = opener
        self._workers = DataWorkers(opener, data_workers)
        self.close = self._workers.close

    def read(self, paths: Sequence[str]) -> "tuple[numpy.ndarray, list[str | None]]":
        """Read files.

        Returns:
            Their pixels, uint8 (n, height, width, channels), undefined where a file cannot be
            used; and why each cannot, or None.
        """
        import numpy

        if len(paths) <= _MAX_WITHOUT_WORKERS:
            images = numpy.empty((len(paths), *self._opener.shape), numpy.uint8)
            return images, FileReader(self._opener, lambda shape: images).read(paths)
        chunk = min(max(-(-len(paths) // self._workers.count), _MIN_CHUNK), CHUNK)
        return self._workers.read("read", paths, chunk=chunk)
