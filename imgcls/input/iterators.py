"""How batches reach the devices: from images that live on them, or streamed from the store. Both
feed the same numbers. Heavy zone.

A feed gives the compiled loop a *call*, the tensors for some steps; of those, a *share* for each
replica and step; and on the replica, of the share, a `Batch`.
"""

import time
from typing import Any

import numpy

from imgcls.backend import tf
from imgcls.input.batches import SequentialBatches

Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""A replica's rows of a global batch: images uint8 (rows, height, width, channels); labels int32
(rows,), or targets float32 (rows, classes) where images are mixed; weights float32 (rows,)."""


class InMemoryIterator:
    """Keeps the whole split on every device, and sends positions only: on a CPU this saves a
    twentieth of a small network's step.
    """

    def __init__(self, plan: SequentialBatches, strategy: tf.distribute.Strategy):
        self._plan = plan
        self._rows = plan.batch_size // strategy.num_replicas_in_sync
        images, labels = plan.examples.rows(numpy.arange(len(plan.examples)))
        self._images = strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(images)
        )
        self._labels = strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(labels)
        )
        self.signature = (
            tf.TensorSpec([None, plan.batch_size], tf.int64),
            tf.TensorSpec([None, plan.batch_size], tf.float32),
            tf.TensorSpec([], tf.int64),
        )

    def call(self, step: int, count: int) -> Any:
        """Return what the compiled loop needs for steps `step`, ..., `step + count - 1`."""
        positions, weights = zip(*map(self._plan.positions, range(step, step + count)), strict=True)
        return (
            tf.constant(numpy.stack(positions)),
            tf.constant(numpy.stack(weights)),
            tf.constant(step, tf.int64),
        )

    def share(self, call: Any, i: tf.Tensor, after: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Return what each replica needs for the call's i-th step, and for how many seconds it was
        waited for once `after` was there.
        """
        positions, weights, step = call
        return (
            self._images,
            self._labels,
            positions[i],
            weights[i],
            step + tf.cast(i, tf.int64),
        ), tf.zeros([], tf.float64)

    def batch(
        self,
        images: tf.Tensor,
        labels: tf.Tensor,
        positions: tf.Tensor,
        weights: tf.Tensor,
        step: tf.Tensor,
    ) -> Batch:
        """Return the replica's batch, on the replica."""
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * self._rows
        own = tf.slice(positions, [first], [self._rows])
        prepared = self._plan.prepare_inputs(
            tf.gather(images, own), tf.gather(labels, own), step, tf.cast(first, tf.int64)
        )
        return *prepared, tf.slice(weights, [first], [self._rows])


class StreamingIterator:
    """Reads each batch from the store ahead of its use, which needs no memory for the split.

    Args:
        start: the first step.
        stages: takes up the seconds that `reading` and `augmentation` cost, over all threads.
    """

    def __init__(
        self,
        plan: SequentialBatches,
        strategy: tf.distribute.Strategy,
        start: int,
        stages: dict[str, float],
    ):
        self._plan = plan
        self._stages = stages
        self._replicas = strategy.num_replicas_in_sync
        self._rows = plan.batch_size // self._replicas
        self._start = start
        self._iterator = iter(strategy.distribute_datasets_from_function(self._dataset))
        self.signature = tf.type_spec_from_value(self._iterator)

    def call(self, step: int, count: int) -> Any:
        """Return what the compiled loop needs for the next `count` steps: streams go forward
        only.
        """
        return self._iterator

    def share(self, call: Any, i: tf.Tensor, after: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Return what each replica needs for the call's i-th step, and for how many seconds it was
        waited for once `after` was there.

        Only the call's first step is timed.
        """
        timed = tf.equal(i, 0)
        with tf.control_dependencies([after]):
            start = _read_clock(timed)
        with tf.control_dependencies([start]):
            batch = next(call)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            return batch, _read_clock(timed) - start

    def batch(self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor) -> Batch:
        """Return the replica's batch, on the replica."""
        return images, labels, weights

    def _dataset(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Return the batches of this process's replicas in turn, made in parallel, in order, ahead
        of their use.
        """
        local = self._replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local

        def batch(element: tf.Tensor) -> Batch:
            """Return a replica's rows of a step; the elements count through the replicas of step
            after step.
            """
            step, first_row = self._start + element // local, (first + element % local) * self._rows
            # stateful=False: op determinism would run stateful calls one after the other.
            types = [tf.uint8, tf.int32, tf.float32, tf.float64]
            read = tf.numpy_function(self._read, [step, first_row], types, stateful=False)
            shapes = ([self._rows, *self._plan.examples.shape], [self._rows], [self._rows], [])
            images, labels, weights, began = map(tf.ensure_shape, read, shapes)
            prepared, targets = self._plan.prepare_inputs(images, labels, step, first_row)
            return self._record_time(prepared, images, began), targets, weights

        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        elements = tf.data.Dataset.counter()
        at_once = self._plan.examples.images.parallel
        dataset = elements.map(
            tf.autograph.experimental.do_not_convert(batch),
            num_parallel_calls=at_once,
            deterministic=True,
        )
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

    def _read(self, step: numpy.int64, first_row: numpy.int64) -> tuple[numpy.ndarray, ...]:
        """Return the rows' images, labels and weights, and the time when they were there."""
        start = time.perf_counter()
        images, labels, weights = self._plan.read(
            int(step), slice(int(first_row), int(first_row) + self._rows)
        )
        end = time.perf_counter()
        self._stages["reading"] += end - start
        return images, labels, weights, numpy.float64(end)

    def _record_time(self, prepared: tf.Tensor, images: tf.Tensor, began: tf.Tensor) -> tf.Tensor:
        """Return the prepared images, and take up the time since they were read; nothing where they
        are as they came.
        """
        if prepared is images:
            return prepared

        def add(pixels: numpy.ndarray, start: numpy.float64) -> numpy.ndarray:
            self._stages["augmentation"] += time.perf_counter() - start
            return pixels

        return tf.ensure_shape(
            tf.numpy_function(add, [prepared, began], tf.uint8, stateful=False), prepared.shape
        )


def _read_clock(wanted: tf.Tensor) -> tf.Tensor:
    """Return the time in seconds, or 0 where it is not wanted: a look costs 0.2 ms, which is why
    only one step a call is timed.

    tf.timestamp would be faster, but refuses to run under op determinism.
    """
    return tf.cond(wanted, _read_time, lambda: tf.zeros([], tf.float64))


def _read_time() -> tf.Tensor:
    return tf.ensure_shape(
        tf.numpy_function(lambda: numpy.float64(time.perf_counter()), [], tf.float64), []
    )
