"""Reading images in data workers, which are processes. Light zone.

Threads would compete for the GIL: two threads read only 1.2 times as many images as one. Processes
do not, and they write to shared memory, so that nothing is copied.

A data worker is `python -m imgcls.store.reader_pool CONNECTION MEMORY`, with two inherited file
descriptors. It receives the store's folder and the geometry, then requests for batches, which it
writes to the memory. It replies with None, or with the error for the process that started it, with
which it ends, even if that is killed.
"""

import contextlib
import queue
import signal
import socket
import subprocess
import sys
import traceback
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls import environment
from imgcls.errors import DataError, OutOfMemoryError, UserError
from imgcls.image import buffers
from imgcls.image.decode import Geometry
from imgcls.io import signals, terminal
from imgcls.store.reader import Reader
from imgcls.store.store import Store, open_store

if TYPE_CHECKING:
    import numpy

CHUNK = 256
"""Images per request: a larger batch is divided among the data workers."""

MAX_ATTEMPTS = 3
"""How often a request is sent; if memory runs out, the system may kill a data worker."""


class DataWorkerPool:
    """A `Reader` that reads in data workers; threads that use it wait for an idle one.

    They are started on first use, and end when this object is closed or deleted, or with the
    process that started them.

    Args:
        data_workers: how many; one per core unless given.
    """

    def __init__(self, store: Store, geometry: Geometry, data_workers: int | None = None):
        local = store.open_reader(geometry)
        self.geometry = geometry
        self.needs_resize = local.needs_resize
        self.get_sizes = local.get_sizes
        self.max_threads = data_workers or environment.count_cores()
        self._folder = store.folder.absolute()  # the working directory may change
        self._batches = buffers.BatchBuffers()
        self._closed = False
        self._idle: queue.SimpleQueue[_DataWorker | None] = queue.SimpleQueue()
        for _ in range(self.max_threads):
            self._idle.put(None)

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return whole images at the reader's geometry, uint8 (n, height, width, channels)."""
        return self._collect("read", indices)

    def crop(
        self, indices: "numpy.ndarray", crops: "numpy.ndarray", flips: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return a crop of each image, resized and some flipped, as `Reader.crop` says."""
        return self._collect("crop", indices, crops, flips)

    def _collect(self, method: str, *arguments: "numpy.ndarray") -> "numpy.ndarray":
        count = len(arguments[0])
        result, region = self._batches.acquire((count, *self.geometry.shape))

        def write(start: int) -> None:
            chunk = [each[start : start + CHUNK] for each in arguments]
            self._request(region, start * result.strides[0], method, chunk)

        starts = range(0, count, CHUNK)
        if len(starts) <= 1:
            write(0)
        else:
            with ThreadPoolExecutor(self.max_threads) as threads:
                list(threads.map(write, starts))
        return result

    def _request(self, *request: Any) -> None:
        for attempts_left in reversed(range(MAX_ATTEMPTS)):
            with self._acquire_data_worker() as data_worker:
                exit_code = data_worker.request(request)
            if exit_code is None:
                return
            if not attempts_left:
                problem = (
                    f"{MAX_ATTEMPTS} data workers ended while reading the same images, the last one"
                    f" with exit code {exit_code}"
                )
                if exit_code == -signal.SIGKILL:
                    raise OutOfMemoryError(
                        f"{problem}: the system kills processes if memory runs out; lower"
                        " train.data_workers or train.batch_size, or close other programs"
                    )
                raise RuntimeError(problem)
            terminal.note(f"a data worker ended with exit code {exit_code}; started another")

    @contextlib.contextmanager
    def _acquire_data_worker(self) -> "Iterator[_DataWorker]":
        data_worker = self._idle.get()
        try:
            if self._closed:
                raise RuntimeError("images were read after the reader was closed")
            if data_worker is None:
                data_worker = _DataWorker(self._folder, self.geometry, self._batches.file)
            yield data_worker
        finally:
            self._idle.put(
                data_worker if data_worker is not None and data_worker.is_alive else None
            )

    def close(self) -> None:
        """End each data worker after its current request; later requests raise an error."""
        self._closed = True
        ended = [self._idle.get() for _ in range(self.max_threads)]
        for data_worker in filter(None, ended):
            data_worker.end()
        for _ in ended:
            self._idle.put(None)


class _DataWorker:
    """A connection to a data worker.

    Attributes:
        is_alive: whether it accepts another request.
        end: a function that ends the data worker after its current request.
    """

    def __init__(self, folder: Path, geometry: Geometry, memory: int):
        client, server = socket.socketpair()
        command = [
            sys.executable,
            "-m",
            "imgcls.store.reader_pool",
            str(server.fileno()),
            str(memory),
        ]
        with server, signals.block_signals():
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(server.fileno(), memory)
            )
        self._connection = Connection(client.detach())
        self.end = weakref.finalize(self, _terminate, self._connection, self._process)
        self.is_alive = True
        with contextlib.suppress(ConnectionError):  # it has ended, as the first request will notice
            self._connection.send((folder, geometry))

    def request(self, request: tuple[Any, ...]) -> int | None:
        """Send a request and wait for it; return the exit code if the worker ended, or None.

        Raises:
            DataError: the images cannot be read.
            MemoryError: the data worker has not enough memory.
            RuntimeError: another error; the message is the data worker's traceback.
        """
        try:
            self._connection.send(request)
            error = self._connection.recv()
        except (EOFError, ConnectionError):
            self.is_alive = False
            return self._process.wait()
        if error is not None:
            raise error
        return None


def _terminate(connection: Connection, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    process.wait()


def open_training_reader(store: Store, geometry: Geometry, data_workers: int | None) -> Reader:
    """Return a reader for training; data workers read if images are decoded, cropped or resized."""
    local = store.open_reader(geometry)
    return DataWorkerPool(store, geometry, data_workers) if local.needs_resize else local


def serve(connection: Connection, memory: int) -> None:
    """Serve requests until the client closes the connection."""
    import cv2

    cv2.setNumThreads(1)  # there is one data worker per core
    memory_map = buffers.MappedBuffers(memory)
    folder, geometry = connection.recv()
    reader: Reader | None = None
    while True:
        region, start, method, arguments = connection.recv()
        try:
            reader = reader or open_store(folder).open_reader(geometry, memory_map.allocate)
            memory_map.map(region, start)
            getattr(reader, method)(*arguments)
            reply = None
        except Exception as error:
            reply = _make_reply(error, folder)
        connection.send(reply)


def _make_reply(error: Exception, folder: Path) -> Exception:
    """Return an error that can be pickled, and says what happened to the data worker."""
    if isinstance(error, UserError):
        return DataError(str(error))
    if isinstance(error, OSError):
        return DataError(f"a data worker cannot read {folder}: {error}")
    if isinstance(error, MemoryError):
        return MemoryError()
    return RuntimeError("".join(["in a data worker:\n", *traceback.format_exception(error)]))


if __name__ == "__main__":
    with contextlib.suppress(EOFError, ConnectionError):
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
