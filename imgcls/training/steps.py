"""Compiled training and evaluation steps on every replica. Heavy zone."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from imgcls.backend import keras, tf
from imgcls.input.iterators import BatchIterator
from imgcls.training import gradient_checks, step_sums

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Steps:
    """Compiled training and evaluation steps of one model.

    Args:
        strategy: the model was built in its scope.
        loss: computes the loss of each row from targets and logits, as in imgcls/losses.
        accumulation_steps: micro-batches per replica and step.
        jit_compile: whether to compile the forward and backward pass with XLA.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        loss: Loss,
        accumulation_steps: int = 1,
        jit_compile: bool = False,
    ):
        self._accumulation_steps = accumulation_steps
        self._compiled_gradients = self._compute_gradients
        self._compiled_losses = self._compute_losses
        if jit_compile:
            self._compiled_gradients = tf.function(self._compute_gradients, jit_compile=True)
            self._compiled_losses = tf.function(self._compute_losses, jit_compile=True)
        self._strategy = strategy
        self._model = model
        self._optimizer = optimizer
        self._loss = loss
        self._compiled: dict[
            tuple[Callable[..., tf.Tensor], BatchIterator], Callable[..., tf.Tensor]
        ] = {}

    def train(
        self, iterator: BatchIterator, step: int, count: int, sums: numpy.ndarray
    ) -> numpy.ndarray:
        """Train for `count` steps, from `step` on.

        Args:
            sums: over the epoch's steps so far, float64 (ENTRIES,).

        Returns:
            The sums including these steps, float64 (ENTRIES,).
        """
        return self._execute(self.compile_training(iterator), iterator, step, count, sums)

    def evaluate(self, iterator: BatchIterator, count: int) -> numpy.ndarray:
        """Evaluate the first `count` batches; return the sums over their examples."""
        compiled = self.compile_evaluation(iterator)
        return self._execute(compiled, iterator, 0, count, step_sums.make_zeros())

    def compile_training(self, iterator: BatchIterator) -> Callable[..., tf.Tensor]:
        """Return the compiled function that trains on an iterator's batches, as `_compile` does."""
        return self._compile(self._train_step, iterator)

    def compile_evaluation(self, iterator: BatchIterator) -> Callable[..., tf.Tensor]:
        """Return the compiled function that evaluates an iterator's batches, as `_compile` does."""
        return self._compile(self._test_step, iterator)

    def _compile(
        self, step_function: Callable[..., tf.Tensor], iterator: BatchIterator
    ) -> Callable[..., tf.Tensor]:
        """Return the compiled function that runs the steps of an execution.

        Its arguments are the execution's inputs, the number of steps and the sums so far.
        """
        if (step_function, iterator) not in self._compiled:
            signature = [
                iterator.signature,
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([step_sums.ENTRIES], tf.float64),
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
        count: int,
        sums: numpy.ndarray,
    ) -> numpy.ndarray:
        """Run `count` steps in one call of a compiled function; return the new sums.

        Raises the error of reading a batch as it is.
        """
        start = time.perf_counter()
        inputs = iterator.make_execution_inputs(step, count)
        sums[step_sums.WAIT] += time.perf_counter() - start
        try:
            sums = compiled(inputs, tf.constant(count), tf.constant(sums)).numpy()
        except tf.errors.OpError:
            iterator.raise_reading_error()
            raise
        sums[step_sums.WAIT] += iterator.take_wait()
        return sums

    def _run_steps(
        self,
        step_function: Callable[..., tf.Tensor],
        iterator: BatchIterator,
        inputs: Any,
        count: tf.Tensor,
        sums: tf.Tensor,
    ) -> tf.Tensor:
        """Run the steps of an execution in one graph, and add up their sums in order.

        Args:
            inputs: of `make_execution_inputs`.
            count: int32 scalar.
            sums: of the epoch so far, float64 (ENTRIES,).

        Returns:
            Sums with these steps, float64 (ENTRIES,).
        """
        # AutoGraph should convert the loops below, but not the step.
        run_step = tf.autograph.experimental.do_not_convert(
            lambda *replica_inputs: step_function(*iterator.make_local_batch(*replica_inputs))
        )
        shape, previous = [step_sums.ENTRIES], sums
        local_sums = tf.TensorArray(tf.float64, size=count, element_shape=shape)
        distributed = iterator.distribute_inputs(inputs)
        for i in tf.range(count):
            replica_inputs = iterator.make_replica_inputs(distributed, i, previous)
            previous = tf.add_n(
                self._strategy.experimental_local_results(
                    self._strategy.run(run_step, args=replica_inputs)
                )
            )
            local_sums = local_sums.write(i, previous)
        sum_over_workers = tf.autograph.experimental.do_not_convert(self._sum_over_workers)
        global_sums = sum_over_workers(local_sums.stack())
        for i in tf.range(count):
            sums += global_sums[i]
            finite = tf.math.is_finite(sums[step_sums.LOSS]) & tf.equal(
                sums[step_sums.NONFINITE_GRADIENTS], 0
            )
            sums += step_sums.make_entry(step_sums.FINITE_STEPS, tf.cast(finite, tf.float64))
        return sums

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

    def _train_step(self, *batch: tf.Tensor) -> tf.Tensor:
        """Update the weights with a local batch; return its sums."""
        variables = self._model.trainable_variables
        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
        gradients, sums = self._accumulate(self._compiled_gradients, batch, zeros)
        synchronized = gradient_checks.synchronize_overflow(
            gradients, self._optimizer, self._strategy.num_replicas_in_sync
        )
        self._optimizer.apply(synchronized, variables)
        nonfinite = gradient_checks.count_nonfinite(gradients, self._optimizer)
        return sums + step_sums.make_entry(step_sums.NONFINITE_GRADIENTS, nonfinite)

    def _compute_gradients(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return a micro-batch's contribution to the gradients, and its sums."""
        with tf.GradientTape() as tape:
            logits = self._model(images, training=True)
            losses = self._loss(labels, logits)
            loss = tf.reduce_sum(losses * tf.cast(weights, losses.dtype))
            # Every micro-batch on every replica computes the full penalty, and the gradients of all
            # are added up.
            micro_batches = self._strategy.num_replicas_in_sync * self._accumulation_steps
            loss += tf.add_n(self._model.losses) / micro_batches if self._model.losses else 0.0
            scaled = self._optimizer.scale_loss(loss)
        return tape.gradient(scaled, self._model.trainable_variables), step_sums.compute(
            losses, logits, labels, weights
        )

    def _test_step(self, *batch: tf.Tensor) -> tf.Tensor:
        """Return the sums of a local batch."""
        _, sums = self._accumulate(self._compiled_losses, batch, [])
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
            function: of a micro-batch; returns gradients and the vector of sums.
            zeros: the initial gradients.
        """
        if self._accumulation_steps == 1:
            return function(*batch)
        micro_batches = [
            tf.reshape(each, [self._accumulation_steps, -1, *each.shape[1:]]) for each in batch
        ]

        def add(
            i: tf.Tensor, totals: list[tf.Tensor], sums: tf.Tensor
        ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
            gradients, batch_sums = function(*[each[i] for each in micro_batches])
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
