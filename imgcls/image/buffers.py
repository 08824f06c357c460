"""Memory that is used again, image after image and batch after batch. Light zone.

Freed memory goes back to the system, and the page faults of new memory can take as long as decoding
an image into it.
"""

import contextlib
import math
import mmap
import os
import tempfile
import threading
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

MAX_SCRATCH = 8 << 20
"""The most bytes that a thread keeps for its next image: larger ones are rare, and threads many."""


class Scratch(threading.local):
    """Arrays for what a thread needs while it works on one image."""

    def __init__(self) -> None:
        self._cached: dict[str, numpy.ndarray] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> "numpy.ndarray":
        """Return an array, uint8, of any content; it is valid until the thread asks for the name
        again.
        """
        import numpy

        size = math.prod(shape)
        if size > MAX_SCRATCH:
            return numpy.empty(shape, numpy.uint8)
        if name not in self._cached or self._cached[name].size < size:
            self._cached[name] = numpy.empty(size, numpy.uint8)
        return self._cached[name][:size].reshape(shape)


@dataclass(frozen=True)
class BatchRegion:
    """Where a batch lies in the file of `Batches`: its first byte, and how many bytes of the file
    are mapped for it.
    """

    offset: int
    length: int


class BatchBuffers:
    """Arrays for batches, each of them somebody's until nothing refers to it any more; then it
    becomes another batch.

    They lie in memory that other processes may share, through a file that has no name, so that none
    is left behind by a process that is killed. A batch begins with a page, and TensorFlow takes
    what lies at a multiple of 64 bytes as it is, without a copy.

    Attributes:
        file: the descriptor of the file.
    """

    def __init__(self) -> None:
        self.file = _create_anonymous_file()
        weakref.finalize(self, os.close, self.file)
        self._free: dict[int, list[tuple[mmap.mmap, BatchRegion]]] = {}
        self._end = 0
        self._growing = threading.Lock()

    def acquire(self, shape: tuple[int, ...]) -> "tuple[numpy.ndarray, BatchRegion]":
        """Return an array, uint8, of any content, and where other processes find it."""
        import numpy

        size = math.prod(shape)
        length = max(-(-size // mmap.ALLOCATIONGRANULARITY), 1) * mmap.ALLOCATIONGRANULARITY
        free = self._free.setdefault(length, [])
        memory, place = self._new(length)
        # The base of this array is no array, so every view of it refers to it, and not past it to
        # the memory.
        array = numpy.frombuffer(memory, numpy.uint8, size)
        weakref.finalize(array, free.append, (memory, place)).atexit = False
        return array.reshape(shape), place

    def _new(self, length: int) -> tuple[mmap.mmap, BatchRegion]:
        """Return memory that was given back, or else more of the file."""
        with contextlib.suppress(IndexError):
            return self._free[length].pop()
        with self._growing:
            place = BatchRegion(self._end, length)
            self._end += length
            os.ftruncate(self.file, self._end)
        return mmap.mmap(self.file, length, offset=place.offset), place


class MappedBuffers:
    """The other side of `Batches`: a process's view of what another one lent it.

    Args:
        file: the descriptor of their file.
    """

    def __init__(self, file: int):
        self._file = file
        self._mapped: dict[BatchRegion, mmap.mmap] = {}
        self._rest = memoryview(b"")

    def map(self, place: BatchRegion, start: int) -> None:
        """Make arrays at a place from now on, from one of its bytes on."""
        if place not in self._mapped:
            self._mapped[place] = mmap.mmap(self._file, place.length, offset=place.offset)
        self._rest = memoryview(self._mapped[place])[start:]

    def array(self, shape: tuple[int, ...]) -> "numpy.ndarray":
        """Return an array, uint8, of any content; every one begins at the same byte, until another
        place is taken.
        """
        import numpy

        return numpy.frombuffer(self._rest, numpy.uint8, math.prod(shape)).reshape(shape)


def _create_anonymous_file() -> int:
    """Return the descriptor of a new file in memory; where the system has no such thing, of one in
    the folder for temporary files.
    """
    if hasattr(os, "memfd_create"):
        return os.memfd_create("imgcls batches")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
