"""The iterator over batches that are loaded and augmented in tf.data. Heavy zone."""

import time
import warnings
from typing import Any

import numpy

from imgcls.backend import tf
from imgcls.input.batches import LocalBatch, SequentialBatches
from imgcls.input.input_clock import InputClock, weigh_steps
from imgcls.input.loaders import Loader


class StreamingIterator:
    """Loads and augments batches in tf.data ahead of time, on the CPU.

    TensorFlow copies each local batch to its replica's device one step ahead: that is what
    `distribute_datasets_from_function` does by default for every strategy used here.

    Args:
        start: the first step.
        stages: it adds to `augmentation` the seconds that it took in all threads.
    """

    _iterator: Any = None

    def __init__(
        self,
        batches: SequentialBatches,
        strategy: tf.distribute.Strategy,
        loader: Loader,
        start: int,
        stages: dict[str, float],
    ):
        self._batches = batches
        self._strategy = strategy
        self._loader = loader
        self._stages = stages
        self._replicas = strategy.num_replicas_in_sync
        self._rows = batches.batch_size // self._replicas
        self._clock = InputClock()
        self.seek(start)
        stream = tf.type_spec_from_value(self._iterator)
        self.signature = (stream, tf.TensorSpec([None], tf.float64))

    def make_execution_inputs(self, step: int, count: int) -> Any:
        """Return the stream, which only goes forward, and which steps are timed."""
        with tf.device("CPU:0"):
            return self._iterator, tf.constant(weigh_steps(step, count))

    def distribute_inputs(self, inputs: Any) -> Any:
        """Return the inputs of an execution: the stream's batches are on their devices already."""
        stream, weights = inputs
        with tf.device("CPU:0"):  # else, the loop would keep them on the device
            return stream, tf.identity(weights)

    def make_replica_inputs(self, inputs: Any, i: tf.Tensor, after: tf.Tensor) -> Any:
        """Return the replicas' inputs for the i-th step of an execution.

        Args:
            inputs: of `distribute_inputs`.
            after: result of the step before; the device waits from then on.
        """
        stream, weights = inputs
        with tf.device("CPU:0"):
            weight = weights[i]
        started = self._clock.start(weight, after)
        with tf.control_dependencies([started, after]):
            images, targets, example_weights = next(stream)

        # Outside the clock's condition, through which whole batches would go to the first device.
        elements: list[tf.Tensor] = []
        devices = self._strategy.extended.worker_devices
        for local in self._strategy.experimental_local_results(images):
            with tf.device(devices[len(elements)]):
                elements.append(local[0, 0, 0, 0])
        return images, targets, example_weights, self._clock.stop(weight, elements)

    def make_local_batch(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor, stopped: tf.Tensor
    ) -> LocalBatch:
        """Return the local batch; called on the replica, with its inputs."""
        # The device starts only after the clock was read, or the reading would wait for the step.
        with tf.control_dependencies([stopped]):
            return tf.identity(images), labels, weights

    def take_wait(self) -> float:
        """Return the estimated seconds that the devices waited for data since the last call."""
        return self._clock.take_seconds()

    def raise_reading_error(self) -> None:
        """Raise the first error of reading, which TensorFlow wraps in one of its own, if any."""
        self._loader.raise_reading_error()

    def make_seekable(self) -> "StreamingIterator":
        """Return an iterator over the same batches with a stream of its own, which is closed.

        `seek` opens it. The stream of this one goes on, for which seeking would cost what it has
        loaded ahead.
        """
        other = StreamingIterator(self._batches, self._strategy, self._loader, 0, self._stages)
        other.close()
        return other

    def seek(self, step: int) -> None:
        """Open the stream again, at a step."""
        self._start = step
        self._iterator = iter(self._strategy.distribute_datasets_from_function(self._make_dataset))

    def close(self) -> None:
        """Stop loading, and wait for the threads that do; nothing else may hold the stream.

        When Python exits, they can no longer call it, and TensorFlow would wait for them forever.
        The same if Python's garbage collector, which may run in a thread of another stream, finds
        this one while that thread holds a lock that a thread of this one waits for.
        """
        self._iterator = None

    def __del__(self) -> None:
        if self._iterator is not None:
            warnings.warn("a stream of batches was not closed", ResourceWarning, 1, self)

    def _make_dataset(self, context: tf.distribute.InputContext) -> tf.data.Dataset:
        """Return the local batches of this process's replicas in turn, made in parallel threads."""
        local = self._replicas // context.num_input_pipelines
        first = context.input_pipeline_id * local

        def make_local_batch(element: tf.Tensor) -> LocalBatch:
            """Return a replica's rows of a step; elements number the replicas of all steps."""
            step, first_row = self._start + element // local, (first + element % local) * self._rows
            images, labels, weights, start = self._loader.load(step, first_row)
            augmented, targets = self._batches.prepare_inputs(images, labels, step, first_row)
            return self._record_time(augmented, images, start), targets, weights

        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        elements = tf.data.Dataset.counter()
        threads = self._batches.examples.reader.max_threads
        dataset = elements.map(
            tf.autograph.experimental.do_not_convert(make_local_batch),
            num_parallel_calls=threads,
            deterministic=True,
        )
        return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)

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
