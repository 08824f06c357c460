"""Executions: calls of a compiled function that runs several steps on every replica. Heavy zone."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from imgcls.backend import keras, tf
from imgcls.input.iterators import BatchIterator
from imgcls.training import step_sums

StepFunction = Callable[..., tf.Tensor]


class Executions:
    """Compiles and runs step functions on the replicas of a strategy."""

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self._compiled: dict[tuple[StepFunction, BatchIterator], StepFunction] = {}

    def compile(
        self,
        step_function: StepFunction,
        iterator: BatchIterator,
        entries: int = step_sums.ENTRIES,
    ) -> StepFunction:
        """Return the compiled function that runs the steps of an execution, see `_run_steps`.

        Args:
            step_function: of the step, its learning rate and a local batch; returns a vector of
                sums, float64 (entries,).
        """
        if (step_function, iterator) not in self._compiled:
            signature = [
                iterator.signature,
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([None], keras.config.dtype_policy().variable_dtype),
            ]
            self._compiled[step_function, iterator] = tf.function(
                partial(self._run_steps, step_function, iterator, entries),
                input_signature=signature,
            )
        return self._compiled[step_function, iterator]

    def forget(self, step_function: StepFunction) -> None:
        """Compile a step function again when it is next run."""
        for function, iterator in list(self._compiled):
            if function == step_function:
                del self._compiled[function, iterator]

    def run(
        self,
        step_function: StepFunction,
        iterator: BatchIterator,
        step: int,
        learning_rates: numpy.ndarray,
        entries: int = step_sums.ENTRIES,
    ) -> tuple[numpy.ndarray, float]:
        """Run a step for each learning rate, from `step` on, in one call of a compiled function.

        Returns:
            The sums of each step over all replicas, float64 (steps, entries); and the seconds that
            the devices waited for data.

        Raises the error of reading a batch as it is.
        """
        compiled = self.compile(step_function, iterator, entries)
        start = time.perf_counter()
        inputs = iterator.make_execution_inputs(step, len(learning_rates))
        wait = time.perf_counter() - start
        rates = tf.constant(learning_rates, keras.config.dtype_policy().variable_dtype)
        try:
            rows = compiled(inputs, tf.constant(step), rates).numpy()
        except tf.errors.OpError as error:
            failure = error.with_traceback(None)
            failure.__context__ = None
        else:
            return rows, wait + iterator.take_wait()
        finally:
            del inputs  # frames of an error's traceback would keep the stream from being closed
        iterator.raise_reading_error()
        raise failure

    def _run_steps(
        self,
        step_function: StepFunction,
        iterator: BatchIterator,
        entries: int,
        inputs: Any,
        first_step: tf.Tensor,
        learning_rates: tf.Tensor,
    ) -> tf.Tensor:
        """Run the steps of an execution in one graph.

        On a GPU, int32 numbers lie in host memory, so that the loop does not wait for the device.

        Args:
            inputs: of `make_execution_inputs`.
            first_step: int32 scalar.
            learning_rates: one a step, float32 or float64.

        Returns:
            The sums of each step, float64 (steps, entries).
        """
        # AutoGraph should convert the loop below, but not the step.
        run_step = tf.autograph.experimental.do_not_convert(
            lambda step, rate, *replica_inputs: step_function(
                step, rate, *iterator.make_local_batch(*replica_inputs)
            )
        )
        count = tf.size(learning_rates)
        shape, previous = [entries], tf.zeros([entries], tf.float64)
        local_sums = tf.TensorArray(tf.float64, size=count, element_shape=shape)
        distributed = iterator.distribute_inputs(inputs)
        i = tf.constant(0)
        while i < count:
            replica_inputs = iterator.make_replica_inputs(distributed, i, previous)
            step_inputs = (first_step + i, learning_rates[i], *replica_inputs)
            previous = tf.add_n(
                self._strategy.experimental_local_results(
                    self._strategy.run(run_step, args=step_inputs)
                )
            )
            local_sums = local_sums.write(i, previous)
            i += 1
        sum_over_workers = tf.autograph.experimental.do_not_convert(self._sum_over_workers)
        return sum_over_workers(local_sums.stack())

    def _sum_over_workers(self, local_sums: tf.Tensor) -> tf.Tensor:
        """All-reduce the sums of all steps of an execution at once: each call costs a millisecond.

        Args:
            local_sums: of this worker's replicas, float64 (steps, entries).
        """
        local_replicas = len(self._strategy.extended.worker_devices)
        if local_replicas == self._strategy.num_replicas_in_sync:
            return local_sums

        def contribute() -> tf.Tensor:
            """Return the sums on the worker's first replica, and 0 on the others."""
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            first = tf.equal(replica % local_replicas, 0)
            return tf.where(first, local_sums, tf.zeros_like(local_sums))

        return self._strategy.reduce(
            tf.distribute.ReduceOp.SUM, self._strategy.run(contribute), axis=None
        )
