"""Compiled training and evaluation steps on every replica. Heavy zone."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from imgcls.backend import keras, tf
from imgcls.input.iterators import BatchIterator
from imgcls.training import class_weights, gradient_checks, step_sums
from imgcls.training.build import StepLearningRate

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Steps:
    """Compiled training and evaluation steps of one model.

    Args:
        strategy: the model was built in its scope.
        learning_rate: that of the optimizer; each step sets it.
        loss: computes the loss of each row from targets and logits, as in imgcls/losses.
        accumulation_steps: micro-batches per replica and step.
        jit_compile: whether to compile the forward and backward pass with XLA.
        weights_of_classes: factors on the training loss, float64 (classes,); None for 1.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        learning_rate: StepLearningRate,
        loss: Loss,
        accumulation_steps: int = 1,
        jit_compile: bool = False,
        weights_of_classes: numpy.ndarray | None = None,
    ):
        self._class_weights = weights_of_classes
        self._accumulation_steps = accumulation_steps
        self._compiled_gradients = self._compute_gradients
        self._compiled_losses = self._compute_losses
        if jit_compile:
            self._compiled_gradients = tf.function(self._compute_gradients, jit_compile=True)
            self._compiled_losses = tf.function(self._compute_losses, jit_compile=True)
        self._strategy = strategy
        self._model = model
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._loss = loss
        self._compiled: dict[
            tuple[Callable[..., tf.Tensor], BatchIterator], Callable[..., tf.Tensor]
        ] = {}

    def train(
        self, iterator: BatchIterator, step: int, learning_rates: numpy.ndarray, sums: numpy.ndarray
    ) -> numpy.ndarray:
        """Train for one step with each of the learning rates, from `step` on.

        Args:
            learning_rates: float64 (steps,).
            sums: over the epoch's steps so far, float64 (ENTRIES,).

        Returns:
            The sums including these steps, float64 (ENTRIES,).
        """
        return self._execute(self.compile_training(iterator), iterator, step, learning_rates, sums)

    def evaluate(self, iterator: BatchIterator, count: int) -> numpy.ndarray:
        """Evaluate the first `count` batches; return the sums over their examples."""
        compiled, unused_rates = self.compile_evaluation(iterator), numpy.zeros(count)
        return self._execute(compiled, iterator, 0, unused_rates, step_sums.make_zeros())

    def compile_training(self, iterator: BatchIterator) -> Callable[..., tf.Tensor]:
        """Return the compiled function that trains on an iterator's batches, as `_compile` does."""
        return self._compile(self._train_step, iterator)

    def compile_evaluation(self, iterator: BatchIterator) -> Callable[..., tf.Tensor]:
        """Return the compiled function that evaluates an iterator's batches, as `_compile` does."""
        return self._compile(self._test_step, iterator)

    def _compile(
        self, step_function: Callable[..., tf.Tensor], iterator: BatchIterator
    ) -> Callable[..., tf.Tensor]:
        """Return the compiled function that runs the steps of an execution, see `_run_steps`."""
        if (step_function, iterator) not in self._compiled:
            signature = [
                iterator.signature,
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([None], keras.config.dtype_policy().variable_dtype),
            ]
            self._compiled[step_function, iterator] = tf.function(
                partial(self._run_steps, step_function, iterator), input_signature=signature
            )
        return self._compiled[step_function, iterator]

    def _execute(
        self,
        compiled: Callable[..., tf.Tensor],
        iterator: BatchIterator,
        step: int,
        learning_rates: numpy.ndarray,
        sums: numpy.ndarray,
    ) -> numpy.ndarray:
        """Run a step for each learning rate in one call of a compiled function.

        Returns:
            The sums including these steps, float64 (ENTRIES,).

        Raises the error of reading a batch as it is.
        """
        start = time.perf_counter()
        inputs = iterator.make_execution_inputs(step, len(learning_rates))
        sums[step_sums.WAIT] += time.perf_counter() - start
        rates = tf.constant(learning_rates, keras.config.dtype_policy().variable_dtype)
        try:
            rows = compiled(inputs, tf.constant(step), rates).numpy()
        except tf.errors.OpError as error:
            failure = error.with_traceback(None)
            failure.__context__ = None
        else:
            sums[step_sums.WAIT] += iterator.take_wait()
            return step_sums.add(sums, rows)
        finally:
            del inputs  # frames of an error's traceback would keep the stream from being closed
        iterator.raise_reading_error()
        raise failure

    def _run_steps(
        self,
        step_function: Callable[..., tf.Tensor],
        iterator: BatchIterator,
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
            The sums of each step, float64 (steps, ENTRIES).
        """
        # AutoGraph should convert the loop below, but not the step.
        run_step = tf.autograph.experimental.do_not_convert(
            lambda step, rate, *replica_inputs: step_function(
                step, rate, *iterator.make_local_batch(*replica_inputs)
            )
        )
        count = tf.size(learning_rates)
        shape, previous = [step_sums.ENTRIES], tf.zeros([step_sums.ENTRIES], tf.float64)
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
            local_sums: of this worker's replicas, float64 (steps, ENTRIES).
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

    def _train_step(
        self, step: tf.Tensor, learning_rate: tf.Tensor, *batch: tf.Tensor
    ) -> tf.Tensor:
        """Update the weights with a local batch; return its sums."""
        variables = self._model.trainable_variables
        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
        local_rows = batch[0].shape[0]
        first_row = tf.distribute.get_replica_context().replica_id_in_sync_group * local_rows
        micro_rows = local_rows // self._accumulation_steps
        gradients, sums = self._accumulate(
            lambda i, *rows: self._compiled_gradients(step, first_row + i * micro_rows, *rows),
            batch,
            zeros,
        )
        self._learning_rate.value = learning_rate
        synchronized = gradient_checks.synchronize_overflow(
            gradients, self._optimizer, self._strategy.num_replicas_in_sync
        )
        self._optimizer.apply(synchronized, variables)
        nonfinite = gradient_checks.count_nonfinite(gradients, self._optimizer)
        return sums + step_sums.make_entry(step_sums.NONFINITE_GRADIENTS, nonfinite)

    def _compute_gradients(
        self,
        step: tf.Tensor,
        first_row: tf.Tensor,
        images: tf.Tensor,
        labels: tf.Tensor,
        weights: tf.Tensor,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return a micro-batch's contribution to the gradients, and its sums.

        Args:
            first_row: the first row of the micro-batch in the global batch, int32 scalar.
        """
        with tf.GradientTape() as tape:
            logits = self._model(images, training=True, step=step, first_row=first_row)
            losses = self._loss(labels, logits)
            factors = class_weights.weight_rows(self._class_weights, labels, losses.dtype)
            loss = tf.reduce_sum(losses * tf.cast(weights, losses.dtype) * factors)
            # Every micro-batch on every replica computes the full penalty, and the gradients of all
            # are added up.
            micro_batches = self._strategy.num_replicas_in_sync * self._accumulation_steps
            loss += tf.add_n(self._model.losses) / micro_batches if self._model.losses else 0.0
            scaled = self._optimizer.scale_loss(loss)
        return tape.gradient(scaled, self._model.trainable_variables), step_sums.compute(
            losses, logits, labels, weights
        )

    def _test_step(self, step: tf.Tensor, learning_rate: tf.Tensor, *batch: tf.Tensor) -> tf.Tensor:
        """Return the sums of a local batch."""
        _, sums = self._accumulate(lambda i, *rows: self._compiled_losses(*rows), batch, [])
        return sums

    def _compute_losses(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return an empty list instead of gradients, and a micro-batch's sums."""
        logits = self._model(images, training=False)
        losses = self._loss(labels, logits)
        return [], step_sums.compute(losses, logits, labels, weights)

    def _accumulate(
        self,
        function: Callable[..., tuple[list[tf.Tensor], tf.Tensor]],
        batch: tuple[tf.Tensor, ...],
        zeros: list[tf.Tensor],
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Apply a function to each micro-batch of a local batch; return the sums of its results.

        Args:
            function: of a micro-batch, after its number; returns gradients and the vector of sums.
            zeros: the initial gradients.
        """
        if self._accumulation_steps == 1:
            return function(0, *batch)
        micro_batches = [
            tf.reshape(each, [self._accumulation_steps, -1, *each.shape[1:]]) for each in batch
        ]

        def add(
            i: tf.Tensor, totals: list[tf.Tensor], sums: tf.Tensor
        ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
            """Add the gradients and sums of micro-batch i, int32; return the next state."""
            gradients, batch_sums = function(i, *[each[i] for each in micro_batches])
            return (
                i + 1,
                [total + gradient for total, gradient in zip(totals, gradients, strict=True)],
                sums + batch_sums,
            )

        state = (tf.constant(0), zeros, tf.zeros([step_sums.ENTRIES], tf.float64))
        if self._strategy.num_replicas_in_sync == 1:
            return tf.while_loop(
                lambda i, *_: i < self._accumulation_steps, add, state, parallel_iterations=1
            )[1:]
        # TensorFlow rejects the all-reduce of synchronized batch norm inside a while loop, so the
        # loop is unrolled.
        for _ in range(self._accumulation_steps):
            # Without this dependency, all micro-batches would be in memory at once.
            with tf.control_dependencies([*state[1], state[2]]):
                state = add(*state)
        return state[1:]
