"""Reading the images of a store in data workers. Light zone."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.image.decode import Geometry
from imgcls.store.data_workers import DataWorkers
from imgcls.store.reader import Allocate, Reader
from imgcls.store.store import Store, open_store

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class StoreOpener:
    """Opens a reader of a store in a data worker."""

    folder: Path
    geometry: Geometry

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that are read."""
        return self.geometry.shape

    def open(self, allocate: Allocate) -> Reader:
        """Return the reader."""
        return open_store(self.folder).open_reader(self.geometry, allocate)

    def __str__(self) -> str:
        return str(self.folder)


class DataWorkerPool:
    """A `Reader` that reads in data workers; threads that use it wait for an idle one.

    Args:
        data_workers: how many; one per core unless given.
    """

    def __init__(self, store: Store, geometry: Geometry, data_workers: int | None = None):
        local = store.open_reader(geometry)
        self.geometry = geometry
        self.needs_resize = local.needs_resize
        self.get_sizes = local.get_sizes
        folder = store.folder.absolute()  # the working directory may change
        self._workers = DataWorkers(StoreOpener(folder, geometry), data_workers)
        self.max_threads = self._workers.count
        self.close = self._workers.close

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the reader's geometry, uint8 (n, height, width, channels)."""
        return self._workers.read("read", indices)[0]

    def crop(
        self, indices: "numpy.ndarray", crops: "numpy.ndarray", flips: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a crop of each image, resized and some flipped, as `Reader.crop` says."""
        return self._workers.read("crop", indices, crops, flips)[0]


def open_reader(store: Store, geometry: Geometry, data_workers: int | None) -> Reader:
    """Return a reader that takes all cores: data workers read if images are decoded, cropped or
    resized.
    """
    local = store.open_reader(geometry)
    return DataWorkerPool(store, geometry, data_workers) if local.needs_resize else local
