"""What fetches the images of local batches within tf.data, on the CPU. Heavy zone."""

import time
from typing import Protocol

import numpy

from imgcls.backend import tf
from imgcls.input.batches import SequentialBatches

LoadedBatch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
"""Images uint8 (rows, height, width, channels); labels int64 (rows,); weights float32 (rows,); and
the time when they were there, float64 scalar, seconds."""


class Loader(Protocol):
    """Loads rows of global batches."""

    def load(self, step: tf.Tensor, first_row: tf.Tensor) -> LoadedBatch:
        """Return a local batch: rows `first_row`, ... of a step's global batch; int64 scalars."""

    def raise_reading_error(self) -> None:
        """Raise the first error of reading, which TensorFlow wraps in one of its own, if any."""


class StoreLoader:
    """Reads and decodes the images of each batch from the store.

    Args:
        rows: of a local batch.
        stages: it adds to `reading` the seconds that reading took, in all threads.
    """

    def __init__(self, batches: SequentialBatches, rows: int, stages: dict[str, float]):
        self._batches = batches
        self._rows = rows
        self._stages = stages
        self._errors: list[Exception] = []

    def load(self, step: tf.Tensor, first_row: tf.Tensor) -> LoadedBatch:
        """Return a local batch: rows `first_row`, ... of a step's global batch; int64 scalars."""
        # With op determinism, stateful calls would run one after the other.
        types = [tf.uint8, tf.int64, tf.float32, tf.float64]
        read = tf.numpy_function(self._read, [step, first_row], types, stateful=False)
        rows = [self._rows]
        shapes: tuple[list[int], ...] = ([*rows, *self._batches.examples.shape], rows, rows, [])
        images, labels, weights, end = map(tf.ensure_shape, read, shapes)
        return images, labels, weights, end

    def raise_reading_error(self) -> None:
        """Raise the first error of reading, which TensorFlow wraps in one of its own, if any."""
        if self._errors:
            raise self._errors[0] from None

    def _read(
        self, step: numpy.int64, first_row: numpy.int64
    ) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.float64]:
        start, rows = time.perf_counter(), slice(int(first_row), int(first_row) + self._rows)
        try:
            images, labels, weights = self._batches.read(int(step), rows)
        except Exception as error:
            self._errors.append(error)
            raise
        end = time.perf_counter()
        self._stages["reading"] += end - start
        return images, labels.astype(numpy.int64), weights, numpy.float64(end)


class HostMemoryLoader:
    """Holds the images of the whole split in the host's memory.

    Args:
        rows: of a local batch.
    """

    def __init__(self, batches: SequentialBatches, rows: int):
        self._batches = batches
        self._rows = rows
        images, labels = batches.examples.read_all()
        with tf.device("CPU:0"):
            # Not a variable: with op determinism, its reads would run one after the other.
            self._images, self._labels = tf.constant(images), tf.constant(labels, tf.int64)

    def load(self, step: tf.Tensor, first_row: tf.Tensor) -> LoadedBatch:
        """Return a local batch: rows `first_row`, ... of a step's global batch; int64 scalars."""
        types = [tf.int64, tf.float32, tf.float64]
        found = tf.numpy_function(self._find_rows, [step, first_row], types, stateful=False)
        positions, weights, end = map(tf.ensure_shape, found, ([self._rows], [self._rows], []))
        return tf.gather(self._images, positions), tf.gather(self._labels, positions), weights, end

    def raise_reading_error(self) -> None:
        """Do nothing: all images were read at the start."""

    def _find_rows(
        self, step: numpy.int64, first_row: numpy.int64
    ) -> tuple[numpy.ndarray, numpy.ndarray, numpy.float64]:
        rows = slice(int(first_row), int(first_row) + self._rows)
        positions, weights = self._batches.compute_positions(int(step))
        return positions[rows], weights[rows], numpy.float64(time.perf_counter())
