"""The iterator over batches whose images are in the memory of each device. Heavy zone."""

from functools import partial
from typing import Any

import numpy

from imgcls.backend import tf
from imgcls.input.batches import LocalBatch, SequentialBatches


class InMemoryIterator:
    """Holds the whole split on each device, and sends only positions.

    On a CPU, this saves a twentieth of a small network's step. On a GPU, nothing crosses the bus in
    a step; it is for batches that are not augmented.
    """

    def __init__(self, batches: SequentialBatches, strategy: tf.distribute.Strategy):
        self._batches = batches
        self._strategy = strategy
        self._rows = batches.batch_size // strategy.num_replicas_in_sync
        images, labels = batches.examples.read_all()
        self._copies = [
            _DeviceCopy(device, images, labels, self._rows)
            for device in strategy.extended.worker_devices
        ]
        self.signature = (
            tf.TensorSpec([None, batches.batch_size], tf.int64),
            tf.TensorSpec([None, batches.batch_size], tf.float32),
            tf.TensorSpec([], tf.int64),
        )

    def make_execution_inputs(self, step: int, count: int) -> Any:
        """Return the inputs of the compiled loop for steps `step`, ..., `step + count - 1`."""
        steps = range(step, step + count)
        positions, weights = zip(*map(self._batches.compute_positions, steps), strict=True)
        with tf.device("CPU:0"):
            return (
                tf.constant(numpy.stack(positions)),
                tf.constant(numpy.stack(weights)),
                tf.constant(step, tf.int64),
            )

    def distribute_inputs(self, inputs: Any) -> Any:
        """Copy positions and weights to the replicas; return the first step of the execution."""
        positions, weights, step = inputs

        def take_rows() -> None:
            replica = _get_replica()
            first = replica * self._rows
            copy, rows = self._get_copy(replica), slice(first, first + self._rows)
            copy.positions.assign(positions[:, rows])
            copy.weights.assign(weights[:, rows])

        self._strategy.run(tf.autograph.experimental.do_not_convert(take_rows))
        with tf.device("CPU:0"):  # else, the loop would keep it on the device
            return tf.identity(step)

    def make_replica_inputs(self, inputs: Any, i: tf.Tensor, after: tf.Tensor) -> Any:
        """Return the replicas' inputs for the i-th step of an execution.

        Args:
            inputs: of `distribute_inputs`.
            after: result of the step before, which nothing here has to wait for.
        """
        with tf.device("CPU:0"):
            return i, inputs + tf.cast(i, tf.int64)

    def make_local_batch(self, i: tf.Tensor, step: tf.Tensor) -> LocalBatch:
        """Return the local batch; called on the replica, with its inputs."""
        replica = _get_replica()
        copy = self._get_copy(replica)
        positions, weights = copy.positions.read_value()[i], copy.weights.read_value()[i]
        images, labels = copy.images.sparse_read(positions), copy.labels.sparse_read(positions)
        inputs = self._batches.prepare_inputs(images, labels, step, replica * self._rows)
        return *inputs, weights

    def _get_copy(self, replica: int) -> "_DeviceCopy":
        """Return the images of a replica of this process."""
        return self._copies[replica % len(self._copies)]

    def take_wait(self) -> float:
        """Return the seconds that the devices waited for data since the last call: none."""
        return 0.0

    def raise_reading_error(self) -> None:
        """Do nothing: all images were read at the start."""

    def make_seekable(self) -> "InMemoryIterator":
        """Return an iterator over the same batches on which `seek` works: this one."""
        return self

    def seek(self, step: int) -> None:
        """Do nothing: all steps are there."""

    def close(self) -> None:
        """Do nothing: no threads load images."""


class _DeviceCopy:
    """The images and labels of a split on a device, and the rows of an execution's batches.

    These are variables: on a GPU, only they can be gathered from in uint8. And what a loop uses
    without changing it goes through the first device in every step, unless it is a variable.

    Attributes:
        images: uint8 (examples, height, width, channels).
        labels: int64 (examples,).
        positions: int64 (steps, rows).
        weights: float32 (steps, rows).
    """

    def __init__(self, device: str, images: numpy.ndarray, labels: numpy.ndarray, rows: int):
        make = partial(tf.Variable, trainable=False)
        with tf.device(device):
            self.images, self.labels = make(images), make(labels.astype(numpy.int64))
            self.positions = make(numpy.zeros((0, rows), numpy.int64), shape=[None, rows])
            self.weights = make(numpy.zeros((0, rows), numpy.float32), shape=[None, rows])


def _get_replica() -> int:
    """Return the number of the replica whose computations are traced, among those of all workers.

    It is a number of Python, so that what derives from it is not computed in every step.
    """
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    return int(tf.get_static_value(replica))
