"""Reading images in several processes at once. Light zone.

Threads would have to share Python's lock: two of them read 1.2 times as many images as one.
Processes have a lock each, and write into memory that they share with this one, so that nothing is
copied.

Such a process is `python -m imgcls.store.reader_pool CONNECTION MEMORY`, with two inherited file
descriptors. It is told the store's folder and the geometry, then asked for batches, which it writes
to the memory. It ends with the process that started it, however that ends.
"""

import contextlib
import queue
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls import environment
from imgcls.image import buffers
from imgcls.image.decode import Geometry
from imgcls.io import signals, terminal
from imgcls.store.reader import Reader
from imgcls.store.store import Store, open_store

if TYPE_CHECKING:
    import numpy

CHUNK = 256
"""Images that one process reads where more are asked for at once."""

MAX_ATTEMPTS = 3
"""How often a batch is asked for whose process ends: the system may kill one where memory is
short.
"""


class ReaderPool:
    """A `Reader` whose images are read by processes; every thread that asks for some gets one of
    them, or waits for it.

    A process starts when it is needed, and ends with this object, with `close`, or with this
    process, however that ends.

    Args:
        count: of the processes; one for each core unless given.
    """

    def __init__(self, store: Store, geometry: Geometry, count: int | None = None):
        local = store.reader(geometry)
        self.geometry = geometry
        self.larger = local.larger
        self.sizes = local.sizes
        self.parallel = count or environment.count_cores()
        self._folder = (
            store.folder.absolute()
        )  # wherever this process may be when another one starts
        self._batches = buffers.BatchBuffers()
        self._closed = False
        self._idle: queue.SimpleQueue[_ReaderProcess | None] = queue.SimpleQueue()
        for _ in range(self.parallel):
            self._idle.put(None)

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the geometry, uint8 (n, height, width, channels)."""
        return self._collect("read", indices)

    def crop(
        self, indices: "numpy.ndarray", windows: "numpy.ndarray", mirrored: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a window of each image, resized to the geometry's height and width, some of them
        mirrored.
        """
        return self._collect("crop", indices, windows, mirrored)

    def _collect(self, method: str, *arguments: "numpy.ndarray") -> "numpy.ndarray":
        count = len(arguments[0])
        result, place = self._batches.acquire((count, *self.geometry.shape))

        def write(start: int) -> None:
            piece = [each[start : start + CHUNK] for each in arguments]
            self._request(place, start * result.strides[0], method, piece)

        starts = range(0, count, CHUNK)
        if len(starts) <= 1:
            write(0)
        else:
            with ThreadPoolExecutor(self.parallel) as threads:
                list(threads.map(write, starts))
        return result

    def _request(self, *request: Any) -> None:
        for left in reversed(range(MAX_ATTEMPTS)):
            with self._borrow() as process:
                exit_code = process.request(request)
            if exit_code is None:
                return
            if left:
                terminal.note(
                    f"a process that reads images ended with status {exit_code}; another one takes"
                    " its place"
                )
        raise RuntimeError(
            f"{MAX_ATTEMPTS} processes that were to read images ended, the last one with status"
            f" {exit_code}"
        )

    @contextlib.contextmanager
    def _borrow(self) -> "Iterator[_ReaderProcess]":
        process = self._idle.get()
        try:
            if self._closed:
                raise RuntimeError("images were asked for after their reader was closed")
            process = process or _ReaderProcess(self._folder, self.geometry, self._batches.file)
            yield process
        finally:
            self._idle.put(process if process and process.is_alive else None)

    def close(self) -> None:
        """End the processes, each once it has read what it was asked for; who asks for more gets an
        error.
        """
        self._closed = True
        ended = [self._idle.get() for _ in range(self.parallel)]
        for process in filter(None, ended):
            process.end()
        for _ in ended:
            self._idle.put(None)


class _ReaderProcess:
    """A process that reads images, from this one's side.

    Attributes:
        lives: whether it can be asked again.
        end: a function that ends it, once it has done what it was asked to.
    """

    def __init__(self, folder: Path, geometry: Geometry, memory: int):
        own, other = socket.socketpair()
        command = [
            sys.executable,
            "-m",
            "imgcls.store.reader_pool",
            str(other.fileno()),
            str(memory),
        ]
        with other, signals.block_signals():
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(other.fileno(), memory)
            )
        self._connection = Connection(own.detach())
        self._connection.send((folder, geometry))
        self.is_alive = True
        self.end = weakref.finalize(self, _terminate, self._connection, self._process)

    def request(self, request: tuple[Any, ...]) -> int | None:
        """Let it do what a request says; return its exit code if it ended instead."""
        try:
            self._connection.send(request)
            self._connection.recv()
        except (EOFError, ConnectionError):
            self.is_alive = False
            return self._process.wait()
        return None


def _terminate(connection: Connection, process: subprocess.Popen) -> None:
    connection.close()
    process.wait()


def open_training_reader(store: Store, geometry: Geometry, processes: int | None) -> Reader:
    """Return what reads a store's images for training: in processes, where that is more than
    copying pixels.
    """
    local = store.reader(geometry)
    return ReaderPool(store, geometry, processes) if local.larger else local


def serve(connection: Connection, memory: int) -> None:
    """Answer requests until the other side is gone; an error ends this process with a traceback."""
    import cv2

    cv2.setNumThreads(1)  # the other cores have processes of their own
    borrowed = buffers.MappedBuffers(memory)
    folder, geometry = connection.recv()
    reader = open_store(folder).reader(geometry, borrowed.allocate)
    while True:
        place, start, method, arguments = connection.recv()
        borrowed.map(place, start)
        getattr(reader, method)(*arguments)
        connection.send(None)


if __name__ == "__main__":
    with contextlib.suppress(EOFError, ConnectionError):
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
