"""Memory that is reused for many images or batches. Light zone.

Freed memory returns to the operating system, and the page faults of newly allocated memory can take
as long as decoding an image into it.
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
"""Maximum size of a cached array, in bytes: every thread has its own."""


class Scratch(threading.local):
    """Temporary arrays of a thread, reused for one image after another."""

    def __init__(self) -> None:
        self._cached: dict[str, numpy.ndarray] = {}

    def get_array(self, name: str, shape: tuple[int, ...]) -> "numpy.ndarray":
        """Return an uninitialized uint8 array, valid until the thread's next call with the name."""
        import numpy

        size = math.prod(shape)
        if size > MAX_SCRATCH:
            return numpy.empty(shape, numpy.uint8)
        if name not in self._cached or self._cached[name].size < size:
            self._cached[name] = numpy.empty(size, numpy.uint8)
        return self._cached[name][:size].reshape(shape)


@dataclass(frozen=True)
class BatchRegion:
    """The region of the file of `BatchBuffers` in which a batch lies: offset and length, bytes."""

    offset: int
    length: int


class BatchBuffers:
    """Arrays for batches, whose memory is reused once nothing refers to them.

    Other processes can map the memory through an anonymous file, which disappears even if the
    process is killed. Each batch starts at a page boundary, since TensorFlow uses memory aligned to
    64 bytes without a copy.

    Attributes:
        file: descriptor of the file.
    """

    def __init__(self) -> None:
        self.file = _create_anonymous_file()
        weakref.finalize(self, os.close, self.file)
        self._free: dict[int, list[tuple[mmap.mmap, BatchRegion]]] = {}
        self._end = 0
        self._growth_lock = threading.Lock()

    def acquire(self, shape: tuple[int, ...]) -> "tuple[numpy.ndarray, BatchRegion]":
        """Return an uninitialized uint8 array, and its region for other processes to map."""
        import numpy

        size = math.prod(shape)
        length = max(-(-size // mmap.ALLOCATIONGRANULARITY), 1) * mmap.ALLOCATIONGRANULARITY
        free = self._free.setdefault(length, [])
        memory, region = self._get_memory(length)
        # Since the base of this array is not an array, numpy makes this array the base of all its
        # views, which therefore keep it alive.
        array = numpy.frombuffer(memory, numpy.uint8, size)
        weakref.finalize(array, free.append, (memory, region)).atexit = False
        return array.reshape(shape), region

    def _get_memory(self, length: int) -> tuple[mmap.mmap, BatchRegion]:
        """Return free memory, after enlarging the file if there is none."""
        with contextlib.suppress(IndexError):
            return self._free[length].pop()
        with self._growth_lock:
            region = BatchRegion(self._end, length)
            self._end += length
            os.ftruncate(self.file, self._end)
        return mmap.mmap(self.file, length, offset=region.offset), region


class MappedBuffers:
    """The `BatchBuffers` of another process, mapped into this one.

    Args:
        file: descriptor of their file.
    """

    def __init__(self, file: int):
        self._file = file
        self._mapped: dict[BatchRegion, mmap.mmap] = {}
        self._buffer = memoryview(b"")

    def map(self, region: BatchRegion, start: int) -> None:
        """Let `allocate` return memory of a region, from byte `start` of it."""
        if region not in self._mapped:
            self._mapped[region] = mmap.mmap(self._file, region.length, offset=region.offset)
        self._buffer = memoryview(self._mapped[region])[start:]

    def allocate(self, shape: tuple[int, ...]) -> "numpy.ndarray":
        """Return an uninitialized uint8 array; all calls after `map` return the same memory."""
        import numpy

        return numpy.frombuffer(self._buffer, numpy.uint8, math.prod(shape)).reshape(shape)


def _create_anonymous_file() -> int:
    """Return the descriptor of a new file in memory, or in the temporary folder if that fails."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("imgcls batches")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
