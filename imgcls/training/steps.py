"""The training loop's compiled core: steps on every replica, and a pass over a split. Heavy zone.

Sums over examples (loss, correct, count) are carried through the steps as one float64 vector, not
in metric variables: a resumed run then adds the same numbers in the same order.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from imgcls.backend import keras, tf
from imgcls.input.iterators import InMemoryIterator, StreamingIterator

BatchIterator = InMemoryIterator | StreamingIterator

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

ENTRIES = 6
LOSS, CORRECT, COUNT, WAIT, NONFINITE_GRADIENTS, FINITE_STEPS = range(ENTRIES)
"""The entries of the vector of sums: cross-entropy, right predictions, examples, seconds that the
device waited for data, gradients that were not finite, and steps before the first whose loss or
gradients were not."""


def make_zero_sums() -> numpy.ndarray:
    """Return the vector of sums before the first step."""
    return numpy.zeros(ENTRIES, numpy.float64)


def compute_means(sums: numpy.ndarray) -> tuple[float, float]:
    """Return loss and accuracy from their sums over examples."""
    return float(sums[LOSS] / sums[COUNT]), float(sums[CORRECT] / sums[COUNT])


class Steps:
    """Compiled training and evaluation steps of one model, under the strategy in whose scope it was
    built.

    Args:
        loss: from targets and logits to the loss of each row, as in imgcls/losses.
        accumulation_steps: how many equal micro-batches each replica works on one after the other.
        jit_compile: whether XLA compiles the passes through the model.
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
        self._train_on_micro_batch = self._compute_gradients
        self._evaluate_on_micro_batch = self._compute_losses
        if jit_compile:
            self._train_on_micro_batch = tf.function(self._compute_gradients, jit_compile=True)
            self._evaluate_on_micro_batch = tf.function(self._compute_losses, jit_compile=True)
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
        """Take `count` steps from `step` on; return the sums with those of the steps added."""
        return self._call(self._training_step, iterator, step, count, sums)

    def evaluate(self, iterator: BatchIterator, count: int) -> numpy.ndarray:
        """Run the model on the first `count` batches; return the sums over their examples."""
        return self._call(self._evaluation_step, iterator, 0, count, make_zero_sums())

    def _call(
        self,
        function: Callable[..., tf.Tensor],
        iterator: BatchIterator,
        step: int,
        count: int,
        sums: numpy.ndarray,
    ) -> numpy.ndarray:
        began = time.perf_counter()
        inputs = iterator.make_execution_inputs(step, count)
        sums[WAIT] += time.perf_counter() - began
        if (function, iterator) not in self._compiled:
            signature = [
                iterator.signature,
                tf.TensorSpec([], tf.int32),
                tf.TensorSpec([ENTRIES], tf.float64),
            ]
            self._compiled[function, iterator] = tf.function(
                partial(self._run, function, iterator), input_signature=signature
            )
        return self._compiled[function, iterator](
            inputs, tf.constant(count), tf.constant(sums)
        ).numpy()

    def _run(
        self,
        function: Callable[..., tf.Tensor],
        iterator: BatchIterator,
        inputs: Any,
        count: tf.Tensor,
        sums: tf.Tensor,
    ) -> tf.Tensor:
        # Only the loops below are for AutoGraph to rewrite.
        on_replica = tf.autograph.experimental.do_not_convert(
            lambda *own_inputs: function(*iterator.make_local_batch(*own_inputs))
        )
        own, last = tf.TensorArray(tf.float64, size=count, element_shape=[ENTRIES]), sums
        for i in tf.range(count):
            replica_inputs, wait = iterator.make_replica_inputs(inputs, i, last)
            sums += _make_entry(WAIT, wait * tf.cast(count, tf.float64))
            last = tf.add_n(
                self._strategy.experimental_local_results(
                    self._strategy.run(on_replica, args=replica_inputs)
                )
            )
            own = own.write(i, last)
        sum_over_processes = tf.autograph.experimental.do_not_convert(self._sum_over_processes)
        steps = sum_over_processes(own.stack())
        for i in tf.range(count):
            sums += steps[i]
            good = tf.math.is_finite(sums[LOSS]) & tf.equal(sums[NONFINITE_GRADIENTS], 0)
            sums += _make_entry(FINITE_STEPS, tf.cast(good, tf.float64))
        return sums

    def _sum_over_processes(self, own: tf.Tensor) -> tf.Tensor:
        """Return the sum over the processes of what each has for all its replicas; once a call,
        since a meeting costs a millisecond.
        """
        local = len(self._strategy.extended.worker_devices)
        if local == self._strategy.num_replicas_in_sync:
            return own

        def once() -> tf.Tensor:
            first = tf.equal(
                tf.distribute.get_replica_context().replica_id_in_sync_group % local, 0
            )
            return tf.where(first, own, tf.zeros_like(own))

        return self._strategy.reduce(
            tf.distribute.ReduceOp.SUM, self._strategy.run(once), axis=None
        )

    def _training_step(self, *batch: tf.Tensor) -> tf.Tensor:
        variables = self._model.trainable_variables
        gradients, sums = self._accumulate(
            self._train_on_micro_batch,
            batch,
            [tf.zeros(variable.shape, variable.dtype) for variable in variables],
        )
        self._optimizer.apply(self._synchronize_overflow(gradients), variables)
        return sums + _make_entry(NONFINITE_GRADIENTS, self._count_nonfinite(gradients))

    def _compute_gradients(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return the gradients of a micro-batch's share of the loss, and its sums."""
        with tf.GradientTape() as tape:
            logits = self._model(images, training=True)
            losses = self._loss(labels, logits)
            loss = tf.reduce_sum(losses * tf.cast(weights, losses.dtype))
            # The gradients of all parts and replicas are added up, so each takes its share of the
            # penalty, which all compute in full.
            shares = self._strategy.num_replicas_in_sync * self._accumulation_steps
            loss += tf.add_n(self._model.losses) / shares if self._model.losses else 0.0
            scaled = self._optimizer.scale_loss(loss)
        return tape.gradient(scaled, self._model.trainable_variables), _compute_sums(
            losses, logits, labels, weights
        )

    def _evaluation_step(self, *batch: tf.Tensor) -> tf.Tensor:
        _, sums = self._accumulate(self._evaluate_on_micro_batch, batch, [])
        return sums

    def _compute_losses(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return no gradients, and a micro-batch's sums."""
        logits = self._model(images, training=False)
        losses = self._loss(labels, logits)
        return [], _compute_sums(losses, logits, labels, weights)

    def _accumulate(
        self,
        function: Callable[..., tuple[list[tf.Tensor], tf.Tensor]],
        batch: tuple[tf.Tensor, ...],
        zeros: list[tf.Tensor],
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Apply a function to each part of a batch, one after the other, and add up what it
        returns; `zeros` are shaped like its list.
        """
        if self._accumulation_steps == 1:
            return function(*batch)
        micro_batches = [
            tf.reshape(each, [self._accumulation_steps, -1, *each.shape[1:]]) for each in batch
        ]

        def add(
            i: tf.Tensor, totals: list[tf.Tensor], sums: tf.Tensor
        ) -> tuple[tf.Tensor, list[tf.Tensor], tf.Tensor]:
            values, more = function(*[each[i] for each in micro_batches])
            return (
                i + 1,
                [total + value for total, value in zip(totals, values, strict=True)],
                sums + more,
            )

        state = (tf.constant(0), zeros, tf.zeros([ENTRIES], tf.float64))
        if self._strategy.num_replicas_in_sync == 1:
            return tf.while_loop(
                lambda i, *_: i < self._accumulation_steps, add, state, parallel_iterations=1
            )[1:]
        # Replicas meet in every batch norm, which TensorFlow refuses inside its loops; written out,
        # the graph grows with the parts.
        for _ in range(self._accumulation_steps):
            with tf.control_dependencies(
                [*state[1], state[2]]
            ):  # else all parts would be in memory at once
                state = add(*state)
        return state[1:]

    def _count_nonfinite(self, gradients: list[tf.Tensor]) -> tf.Tensor:
        """Return how many gradients are not finite; 0 under a loss scale, which meets such
        gradients on purpose and skips the step.
        """
        if isinstance(self._optimizer, keras.optimizers.LossScaleOptimizer):
            return tf.zeros([], tf.float64)
        # A sum is finite only if all that it adds is, or overflows on numbers that no training
        # survives.
        return tf.add_n(
            [
                tf.cast(~tf.math.is_finite(tf.reduce_sum(gradient)), tf.float64)
                for gradient in gradients
            ]
        )

    def _synchronize_overflow(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Make an overflow on one replica one on all, before the loss scale looks at it.

        Keras's LossScaleOptimizer looks at a replica's own gradients; replicas that disagree give
        NaN weights, or a hang.
        """
        if (
            not isinstance(self._optimizer, keras.optimizers.LossScaleOptimizer)
            or self._strategy.num_replicas_in_sync == 1
        ):
            return gradients
        finite = tf.reduce_all(
            [tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients]
        )
        bad_replicas = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.SUM, tf.where(finite, 0.0, 1.0)
        )
        return [
            tf.where(bad_replicas > 0, tf.constant(float("nan"), gradient.dtype), gradient)
            for gradient in gradients
        ]


def _compute_sums(
    losses: tf.Tensor, logits: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
) -> tf.Tensor:
    real = tf.cast(weights > 0, tf.float64)
    if not labels.dtype.is_integer:
        labels = tf.argmax(labels, axis=-1, output_type=tf.int32)
    correct = tf.cast(
        tf.equal(tf.argmax(logits, axis=-1, output_type=labels.dtype), labels), tf.float64
    )
    # where, not a product: a filling row's loss may overflow, and 0 times infinity is NaN.
    loss = tf.reduce_sum(tf.where(real > 0, tf.cast(losses, tf.float64), 0.0))
    return tf.stack(
        [
            loss,
            tf.reduce_sum(correct * real),
            tf.reduce_sum(real),
            *[tf.zeros([], tf.float64)] * (ENTRIES - 3),
        ]
    )


def _make_entry(place: int, value: tf.Tensor) -> tf.Tensor:
    """Return a vector of sums with one entry, float64 (ENTRIES,)."""
    return tf.one_hot(place, ENTRIES, value, tf.zeros([], tf.float64), dtype=tf.float64)
