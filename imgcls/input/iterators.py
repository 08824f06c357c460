"""Iterators over batches: in-memory on the devices, or streaming from the store. Heavy zone.

Both give the same numbers, in three stages: the inputs of one execution of the compiled loop, which
takes several steps; from these, in the loop, the inputs of each replica at a step; and from these,
on the replica, its local batch.
"""

import time
from typing import Any

import numpy

from imgcls.backend import tf
from imgcls.input.batches import SequentialBatches

LocalBatch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""A replica's rows of a global batch: images uint8 (rows, height, width, channels); labels int32
(rows,), or targets float32 (rows, classes) if images are mixed; weights float32 (rows,)."""


class InMemoryIterator:
    """Holds the whole split on each device, and sends only positions.

    On a CPU, this saves a twentieth of a small network's step.
    """

    def __init__(self, batches: SequentialBatches, strategy: tf.distribute.Strategy):
        self._batches = batches
        self._rows = batches.batch_size // strategy.num_replicas_in_sync
        images, labels = batches.examples.read(numpy.arange(len(batches.examples)))
        self._images = strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(images)
        )
        self._labels = strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(labels)
        )
        self.signature = (
            tf.TensorSpec([None, batches.batch_size], tf.int64),
            tf.TensorSpec([None, batches.batch_size], tf.float32),
            tf.TensorSpec([], tf.int64),
        )

    def make_execution_inputs(self, step: int, count: int) -> Any:
        """Return the inputs of the compiled loop for steps `step`, ..., `step + count - 1`."""
        steps = range(step, step + count)
        positions, weights = zip(*map(self._batches.compute_positions, steps), strict=True)
        return (
            tf.constant(numpy.stack(positions)),
            tf.constant(numpy.stack(weights)),
            tf.constant(step, tf.int64),
        )

    def make_replica_inputs(
        self, inputs: Any, i: tf.Tensor, after: tf.Tensor
    ) -> tuple[Any, tf.Tensor]:
        """Return the replicas' inputs for the i-th step of an execution, and the wait for them.

        Args:
            inputs: of the execution.
            after: computed before the wait starts, which is 0 here.

        Returns:
            The inputs, and a float64 scalar, seconds.
        """
        positions, weights, step = inputs
        return (
            self._images,
            self._labels,
            positions[i],
            weights[i],
            step + tf.cast(i, tf.int64),
        ), tf.zeros([], tf.float64)

    def make_local_batch(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        positions: tf.Tensor,
        weights: tf.Tensor,
        step: tf.Tensor,
    ) -> LocalBatch:
        """Return the local batch; called on the replica, with its inputs."""
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * self._rows
        local = tf.slice(positions, [first], [self._rows])
        augmented = self._batches.prepare_inputs(
            tf.gather(images, local), tf.gather(labels, local), step, tf.cast(first, tf.int64)
        )
        return *augmented, tf.slice(weights, [first], [self._rows])

    def raise_reading_error(self) -> None:
        """Do nothing: all images were read at the start."""


class StreamingIterator:
    """Reads batches from the store ahead of time; the split need not fit into memory.

    Args:
        start: the first step.
        stages: the seconds that `reading` and `augmentation` took in all threads; it adds to them.
    """

    def __init__(
        self,
        batches: SequentialBatches,
        strategy: tf.distribute.Strategy,
        start: int,
        stages: dict[str, float],
    ):
        self._batches = batches
        self._stages = stages
        self._replicas = strategy.num_replicas_in_sync
        self._rows = batches.batch_size // self._replicas
        self._start = start
        self._reading_errors: list[Exception] = []
        self._iterator = iter(strategy.distribute_datasets_from_function(self._make_dataset))
        self.signature = tf.type_spec_from_value(self._iterator)

    def make_execution_inputs(self, step: int, count: int) -> Any:
        """Return the inputs of the compiled loop: the stream itself, which only goes forward."""
        return self._iterator

    def make_replica_inputs(
        self, inputs: Any, i: tf.Tensor, after: tf.Tensor
    ) -> tuple[Any, tf.Tensor]:
        """Return the replicas' inputs for the i-th step of an execution, and the wait for them.

        Args:
            inputs: of the execution.
            after: computed before the wait starts; only the first step of an execution is timed.

        Returns:
            The inputs, and a float64 scalar, seconds.
        """
        timed = tf.equal(i, 0)
        with tf.control_dependencies([after]):
            start = _read_clock(timed)
        with tf.control_dependencies([start]):
            batch = next(inputs)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            return batch, _read_clock(timed) - start

    def make_local_batch(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> LocalBatch:
        """Return the local batch; called on the replica, with its inputs."""
        return images, labels, weights

    def raise_reading_error(self) -> None:
        """Raise the first error of reading, which TensorFlow wraps in one of its own, if any."""
        if self._reading_errors:
            raise self._reading_errors[0] from None

    def _make_dataset(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Return the local batches of this process's replicas in turn, made in parallel threads."""
        local = self._replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local

        def read_local_batch(element: tf.Tensor) -> LocalBatch:
            """Return a replica's rows of a step; elements number the replicas of all steps."""
            step, first_row = self._start + element // local, (first + element % local) * self._rows
            # With op determinism, stateful calls would run one after the other.
            types = [tf.uint8, tf.int32, tf.float32, tf.float64]
            read = tf.numpy_function(self._read, [step, first_row], types, stateful=False)
            rows = [self._rows]
            shapes: tuple[list[int], ...] = ([*rows, *self._batches.examples.shape], rows, rows, [])
            images, labels, weights, start = map(tf.ensure_shape, read, shapes)
            augmented, targets = self._batches.prepare_inputs(images, labels, step, first_row)
            return self._record_time(augmented, images, start), targets, weights

        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        elements = tf.data.Dataset.counter()
        threads = self._batches.examples.reader.max_threads
        dataset = elements.map(
            tf.autograph.experimental.do_not_convert(read_local_batch),
            num_parallel_calls=threads,
            deterministic=True,
        )
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    def _read(
        self, step: numpy.int64, first_row: numpy.int64
    ) -> tuple[numpy.ndarray, numpy.ndarray, numpy.ndarray, numpy.float64]:
        """Read a local batch; return its images, labels and weights, and the time afterwards."""
        start, rows = time.perf_counter(), slice(int(first_row), int(first_row) + self._rows)
        try:
            images, labels, weights = self._batches.read(int(step), rows)
        except Exception as error:
            self._reading_errors.append(error)
            raise
        end = time.perf_counter()
        self._stages["reading"] += end - start
        return images, labels, weights, numpy.float64(end)

    def _record_time(self, augmented: tf.Tensor, images: tf.Tensor, start: tf.Tensor) -> tf.Tensor:
        """Return the augmented images; record the time since `start` unless nothing was done."""
        if augmented is images:
            return augmented

        def add_time(pixels: numpy.ndarray, start: numpy.float64) -> numpy.ndarray:
            self._stages["augmentation"] += time.perf_counter() - start
            return pixels

        return tf.ensure_shape(
            tf.numpy_function(add_time, [augmented, start], tf.uint8, stateful=False),
            augmented.shape,
        )


def _read_clock(wanted: tf.Tensor) -> tf.Tensor:
    """Return the time in seconds, or 0 if it is not wanted: reading the clock costs 0.2 ms.

    tf.timestamp would be faster, but refuses to run with op determinism.
    """
    return tf.cond(wanted, _read_time, lambda: tf.zeros([], tf.float64))


def _read_time() -> tf.Tensor:
    return tf.ensure_shape(
        tf.numpy_function(lambda: numpy.float64(time.perf_counter()), [], tf.float64), []
    )
