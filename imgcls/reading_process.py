"""A process that reads images of a store for another one, which `imgcls/parallel_reading.py` starts. Light zone.

Run as `python -m imgcls.reading_process CONNECTION MEMORY`, two inherited file descriptors. It is told the store's folder and the geometry,
then asked for batches, which it writes to the memory. It ends with the process that started it, however that ends.
"""

import contextlib
import sys
from multiprocessing.connection import Connection

from imgcls import buffers
from imgcls.store import open_store


def serve(connection: Connection, memory: int) -> None:
    """Answer requests until the other side is gone; an error ends this process with a traceback."""
    import cv2

    cv2.setNumThreads(1)  # the other cores have processes of their own
    borrowed = buffers.Borrowed(memory)
    folder, geometry = connection.recv()
    reader = open_store(folder).reader(geometry, borrowed.array)
    while True:
        place, start, method, arguments = connection.recv()
        borrowed.take(place, start)
        getattr(reader, method)(*arguments)
        connection.send(None)


if __name__ == "__main__":
    with contextlib.suppress(EOFError, ConnectionError):
        serve(Connection(int(sys.argv[1])), int(sys.argv[2]))
