"""Data workers: processes that read images. Light zone.

Threads would compete for the GIL: two threads read only 1.2 times as many images as one. Processes
do not, and they write to shared memory, so that nothing is copied.

A data worker is `python -m imgcls.store.data_workers CONNECTION MEMORY`, with two inherited file
descriptors. It receives an `Opener`, then requests for batches, which it writes to the memory. It
replies with a list that has an item per image, such as what is wrong with it, or with an error. It
ends with the process that started it, even if that is killed.
"""

import contextlib
import queue
import signal
import socket
import subprocess
import sys
import traceback
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

from imgcls import environment
from imgcls.errors import DataError, OutOfMemoryError, UserError
from imgcls.image import buffers
from imgcls.io import signals, terminal
from imgcls.store.reader import Allocate

if TYPE_CHECKING:
    import numpy

CHUNK = 256
"""Images per request: a larger batch is divided among the data workers."""

MAX_ATTEMPTS = 3
"""How often a request is sent; if memory runs out, the system may kill a data worker."""


class Opener(Protocol):
    """Opens what reads images, in a data worker to which this object is sent."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of the images that are read."""

    def open(self, allocate: Allocate) -> Any:
        """Return an object whose methods are requested.

        A method takes sequences with an item per image, and writes the images to memory of
        `allocate`. It returns them, or a list with an item per image for the caller.
        """

    def __str__(self) -> str:
        """Return what is read, for messages."""


class DataWorkers:
    """Data workers, which threads can use at once; each waits for an idle one.

    They are started on first use, and end when this object is closed or deleted, or with the
    process that started them.

    Args:
        data_workers: how many; one per core unless given.

    Attributes:
        count: how many there are at most.
    """

    def __init__(self, opener: Opener, data_workers: int | None = None):
        self.count = data_workers or environment.count_cores()
        self._opener = opener
        self._batches = buffers.BatchBuffers()
        self._closed = False
        self._idle: queue.SimpleQueue[_DataWorker | None] = queue.SimpleQueue()
        for _ in range(self.count):
            self._idle.put(None)

    def read(
        self, method: str, *arguments: "Sequence[Any] | numpy.ndarray", chunk: int = CHUNK
    ) -> "tuple[numpy.ndarray, list[Any]]":
        """Read images with a method of what the opener opens.

        Args:
            arguments: those of the method, with an item per image.
            chunk: images per request.

        Returns:
            The images, uint8 (n, height, width, channels), and the list that the method returned,
            with an item per image; empty if it returned images.
        """
        count = len(arguments[0])
        result, region = self._batches.acquire((count, *self._opener.shape))

        def write(start: int) -> list[Any]:
            parts = [each[start : start + chunk] for each in arguments]
            return self._request(region, start * result.strides[0], method, parts)

        starts = range(0, count, chunk)
        if len(starts) <= 1:
            return result, write(0)
        with ThreadPoolExecutor(self.count) as threads:
            return result, [item for items in threads.map(write, starts) for item in items]

    def _request(self, *request: Any) -> list[Any]:
        exit_codes: list[int] = []
        while len(exit_codes) < MAX_ATTEMPTS:
            if exit_codes:
                terminal.note(
                    f"a data worker ended with exit code {exit_codes[-1]}; started another"
                )
            with self._acquire_data_worker() as data_worker:
                reply = data_worker.request(request)
            if not isinstance(reply, int):
                return reply
            exit_codes.append(reply)
        raise _make_error(exit_codes[-1])

    @contextlib.contextmanager
    def _acquire_data_worker(self) -> "Iterator[_DataWorker]":
        data_worker = self._idle.get()
        try:
            if self._closed:
                raise RuntimeError("images were read after the reader was closed")
            if data_worker is None:
                data_worker = _DataWorker(self._opener, self._batches.file)
            yield data_worker
        finally:
            self._idle.put(
                data_worker if data_worker is not None and data_worker.is_alive else None
            )

    def close(self) -> None:
        """End each data worker after its current request; later requests raise an error."""
        self._closed = True
        ended = [self._idle.get() for _ in range(self.count)]
        for data_worker in filter(None, ended):
            data_worker.end()
        for _ in ended:
            self._idle.put(None)


def _make_error(exit_code: int) -> Exception:
    """Return the error after the last attempt, whose data worker ended with an exit code."""
    problem = (
        f"{MAX_ATTEMPTS} data workers ended while reading the same images, the last one with exit"
        f" code {exit_code}"
    )
    if exit_code == -signal.SIGKILL:
        return OutOfMemoryError(
            f"{problem}: the system kills processes if memory runs out; lower train.data_workers or"
            " train.batch_size, or close other programs"
        )
    return RuntimeError(problem)


class _DataWorker:
    """A connection to a data worker.

    Attributes:
        is_alive: whether it accepts another request.
        end: a function that ends the data worker after its current request.
    """

    def __init__(self, opener: Opener, memory: int):
        client, server = socket.socketpair()
        module = "imgcls.store.data_workers"
        command = [sys.executable, "-P", "-m", module, str(server.fileno()), str(memory)]
        with server, signals.block_signals():
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=(server.fileno(), memory)
            )
        self._connection = Connection(client.detach())
        self.end = weakref.finalize(self, _terminate, self._connection, self._process)
        self.is_alive = True
        with contextlib.suppress(ConnectionError):  # it has ended, as the first request will notice
            self._connection.send(opener)

    def request(self, request: tuple[Any, ...]) -> list[Any] | int:
        """Send a request and wait for the reply: a list with an item per image, or the exit code if
        the data worker ended.

        Raises:
            DataError: the images cannot be read.
            MemoryError: the data worker has not enough memory.
            RuntimeError: another error; the message is the data worker's traceback.
        """
        try:
            self._connection.send(request)
            reply: list[Any] | Exception = self._connection.recv()
        except (EOFError, ConnectionError):
            self.is_alive = False
            return self._process.wait()
        if isinstance(reply, Exception):
            raise reply
        return reply


def _terminate(connection: Connection, process: subprocess.Popen[bytes]) -> None:
    connection.close()
    process.wait()


def serve(connection: Connection, memory: int) -> None:
    """Serve requests until the client closes the connection."""
    import cv2

    cv2.setNumThreads(1)  # there is one data worker per core
    memory_map = buffers.MappedBuffers(memory)
    opener: Opener = connection.recv()
    opened: Any = None
    while True:
        region, start, method, arguments = connection.recv()
        reply: list[Any] | Exception
        try:
            opened = opened or opener.open(memory_map.allocate)
            memory_map.map(region, start)
            found = getattr(opened, method)(*arguments)
            reply = found if isinstance(found, list) else []  # images are in the memory already
        except Exception as error:
            reply = _make_reply(error, opener)
        connection.send(reply)


def _make_reply(error: Exception, opener: Opener) -> Exception:
    """Return an error that can be pickled, and says what happened to the data worker."""
    if isinstance(error, UserError):
        return DataError(str(error))
    if isinstance(error, OSError):
        return DataError(f"a data worker cannot read {opener}: {error}")
    if isinstance(error, MemoryError):
        return MemoryError()
    return RuntimeError("".join(["in a data worker:\n", *traceback.format_exception(error)]))


if __name__ == "__main__":
    with contextlib.suppress(EOFError, ConnectionError):
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
