"""Accumulation of gradients and sums over the micro-batches of a local batch. Heavy zone."""

from collections.abc import Callable

from imgcls.backend import tf
from imgcls.training import step_sums


class Accumulation:
    """Divides local batches into micro-batches.

    Attributes:
        steps: micro-batches per replica and step.
    """

    def __init__(self, steps: int, strategy: tf.distribute.Strategy):
        self.steps = steps
        self._strategy = strategy

    def add_up(
        self,
        function: Callable[..., tuple[list[tf.Tensor], tf.Tensor]],
        batch: tuple[tf.Tensor, ...],
        zeros: list[tf.Tensor],
        entries: int = step_sums.ENTRIES,
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Apply a function to each micro-batch of a local batch; return the sums of its results.

        Args:
            function: of a micro-batch, after its number; returns gradients and the vector of sums,
                float64 (entries,).
            zeros: the initial gradients.
        """
        if self.steps == 1:
            return function(0, *batch)
        micro_batches = [tf.reshape(each, [self.steps, -1, *each.shape[1:]]) for each in batch]

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

        state = (tf.constant(0), zeros, tf.zeros([entries], tf.float64))
        if self._strategy.num_replicas_in_sync == 1:
            _, gradients, sums = tf.while_loop(
                lambda i, *_: i < self.steps, add, state, parallel_iterations=1
            )
            return gradients, sums
        # TensorFlow rejects the all-reduce of synchronized batch norm inside a while loop, so the
        # loop is unrolled.
        for _ in range(self.steps):
            # Without this dependency, all micro-batches would be in memory at once.
            with tf.control_dependencies([*state[1], state[2]]):
                state = add(*state)
        return state[1:]
