"""Memory that is used again, image after image and batch after batch. Light zone.

Freed memory goes back to the system, and the page faults of new memory can take as long as decoding an image into it.
"""

import math
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy

LARGEST = 8 << 20
"""The most bytes that a thread keeps for its next image: larger ones are rare, and threads many."""

_ALIGNMENT = 64
"""TensorFlow takes an array that lies at a multiple of so many bytes as it is, and copies any other."""


class Scratch(threading.local):
    """Arrays for what a thread needs while it works on one image."""

    def __init__(self) -> None:
        self._kept: dict[str, numpy.ndarray] = {}

    def array(self, name: str, shape: tuple[int, ...]) -> "numpy.ndarray":
        """Return an array, uint8, of any content; it is valid until the thread asks for the name again."""
        import numpy

        size = math.prod(shape)
        if size > LARGEST:
            return numpy.empty(shape, numpy.uint8)
        if name not in self._kept or self._kept[name].size < size:
            self._kept[name] = numpy.empty(size, numpy.uint8)
        return self._kept[name][:size].reshape(shape)


class Batches:
    """Arrays for batches, each of them somebody's until nothing refers to it any more; then it becomes another batch."""

    def __init__(self) -> None:
        self._free: dict[int, list[memoryview]] = {}

    def array(self, shape: tuple[int, ...]) -> "numpy.ndarray":
        """Return an array, uint8, of any content."""
        import numpy

        size = math.prod(shape)
        free = self._free.setdefault(size, [])
        try:
            memory = free.pop()
        except IndexError:
            memory = memoryview(numpy.empty(size + _ALIGNMENT, numpy.uint8))
        start = -numpy.frombuffer(memory, numpy.uint8).ctypes.data % _ALIGNMENT
        # The base of this array is no array, so every view of it refers to it, and not past it to the memory.
        array = numpy.frombuffer(memory, numpy.uint8, size, start)
        weakref.finalize(array, free.append, memory).atexit = False
        return array.reshape(shape)
