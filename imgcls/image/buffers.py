"""Memory that is reused for image after image and batch after batch. Light zone.

Freed memory returns to the system, and the page faults of new memory can take as long as decoding
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
"""The most bytes that a thread holds for its next image: there are many threads."""


class Scratch(threading.local):
    """Arrays that a thread needs while it works on one image."""

    def __init__(self) -> None:
        self._cached: dict[str, numpy.ndarray] = {}

    def get_array(self, name: str, shape: tuple[int, ...]) -> "numpy.ndarray":
        """Return an uninitialized uint8 array, valid until the thread asks for this name again."""
        import numpy

        size = math.prod(shape)
        if size > MAX_SCRATCH:
            return numpy.empty(shape, numpy.uint8)
        if name not in self._cached or self._cached[name].size < size:
            self._cached[name] = numpy.empty(size, numpy.uint8)
        return self._cached[name][:size].reshape(shape)


@dataclass(frozen=True)
class BatchRegion:
    """The part of the file of `BatchBuffers` that holds a batch: first byte and length in bytes."""

    offset: int
    length: int


class BatchBuffers:
    """Arrays for batches; the memory of an array is reused when nothing refers to it any more.

    Other processes can share the memory through a file without a name, so that a killed process
    leaves no file behind. A batch starts at a page, since TensorFlow uses memory that is aligned to
    64 bytes without a copy.

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
        """Return an uninitialized uint8 array, and where other processes find it."""
        import numpy

        size = math.prod(shape)
        length = max(-(-size // mmap.ALLOCATIONGRANULARITY), 1) * mmap.ALLOCATIONGRANULARITY
        free = self._free.setdefault(length, [])
        memory, region = self._get_memory(length)
        # The base of this array is not an array, so every view refers to this array, not past it to
        # the memory.
        array = numpy.frombuffer(memory, numpy.uint8, size)
        weakref.finalize(array, free.append, (memory, region)).atexit = False
        return array.reshape(shape), region

    def _get_memory(self, length: int) -> tuple[mmap.mmap, BatchRegion]:
        """Return memory that is free again, or else more of the file."""
        with contextlib.suppress(IndexError):
            return self._free[length].pop()
        with self._growing:
            region = BatchRegion(self._end, length)
            self._end += length
            os.ftruncate(self.file, self._end)
        return mmap.mmap(self.file, length, offset=region.offset), region


class MappedBuffers:
    """Another process's view of `BatchBuffers`.

    Args:
        file: the descriptor of their file.
    """

    def __init__(self, file: int):
        self._file = file
        self._mapped: dict[BatchRegion, mmap.mmap] = {}
        self._rest = memoryview(b"")

    def map(self, region: BatchRegion, start: int) -> None:
        """Allocate arrays in a region from now on, from its byte `start`."""
        if region not in self._mapped:
            self._mapped[region] = mmap.mmap(self._file, region.length, offset=region.offset)
        self._rest = memoryview(self._mapped[region])[start:]

    def allocate(self, shape: tuple[int, ...]) -> "numpy.ndarray":
        """Return an uninitialized uint8 array, always from the same byte until `map` is called."""
        import numpy

        return numpy.frombuffer(self._rest, numpy.uint8, math.prod(shape)).reshape(shape)


def _create_anonymous_file() -> int:
    """Return the descriptor of a new file in memory, or else in the folder for temporary files."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("imgcls batches")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
