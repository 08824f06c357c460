"""What a training and an evaluation step do on each replica. Heavy zone."""

from collections.abc import Callable
from typing import Any

import numpy

from imgcls.backend import keras, tf
from imgcls.input.iterators import BatchIterator
from imgcls.training import class_weights, gradient_checks, step_sums
from imgcls.training.accumulation import Accumulation
from imgcls.training.build import StepLearningRate
from imgcls.training.executions import Executions
from imgcls.training.resized_model import resize_images
from imgcls.training.teacher import Teacher

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
        teacher: adds a loss on its predictions to that of training; None for no distillation.
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
        teacher: Teacher | None = None,
    ):
        self._class_weights = weights_of_classes
        self._teacher = teacher
        self._accumulation = Accumulation(accumulation_steps, strategy)
        self._jit_compile = jit_compile
        self._compiled_gradients = self._use_xla(self._compute_gradients)
        self._compiled_losses = self._use_xla(self._compute_losses)
        self._strategy = strategy
        self._model = model
        self._training_model = self._watch(model)
        self._optimizer = optimizer
        self._learning_rate = learning_rate
        self._loss = loss
        self._executions = Executions(strategy)

    def _watch(self, model: keras.Model) -> keras.Model:
        """Return the model to train, which may have outputs besides the logits, for the teacher."""
        return self._teacher.watch(model) if self._teacher else model

    def _use_xla(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, compiled with XLA if that is asked for."""
        return tf.function(function, jit_compile=True) if self._jit_compile else function

    def start_phase(self, model: keras.Model) -> None:
        """Compile the training steps again when they are next run.

        Args:
            model: the model with the same layers, some of which may be frozen, for images of the
                size to train on.
        """
        self._training_model = self._watch(model)
        self._compiled_gradients = self._use_xla(self._compute_gradients)
        self._executions.forget(self._train_step)

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
        rows, wait = self._executions.run(self._train_step, iterator, step, learning_rates)
        return step_sums.add(sums, rows, wait)

    def evaluate(self, iterator: BatchIterator, count: int) -> numpy.ndarray:
        """Evaluate the first `count` batches; return the sums over their examples."""
        rows, wait = self._executions.run(self._test_step, iterator, 0, numpy.zeros(count))
        return step_sums.add(step_sums.make_zeros(), rows, wait)

    def compile_training(self, iterator: BatchIterator) -> Callable[..., tf.Tensor]:
        """Return the compiled function that trains on an iterator's batches."""
        return self._executions.compile(self._train_step, iterator)

    def compile_evaluation(self, iterator: BatchIterator) -> Callable[..., tf.Tensor]:
        """Return the compiled function that evaluates an iterator's batches."""
        return self._executions.compile(self._test_step, iterator)

    def _train_step(
        self, step: tf.Tensor, learning_rate: tf.Tensor, *batch: tf.Tensor
    ) -> tf.Tensor:
        """Update the weights with a local batch; return its sums."""
        variables = self._model.trainable_variables
        zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
        local_rows = batch[0].shape[0]
        first_row = tf.distribute.get_replica_context().replica_id_in_sync_group * local_rows
        micro_rows = local_rows // self._accumulation.steps
        gradients, sums = self._accumulation.add_up(
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

        Layers before the first one that is trained have no backward pass.

        Args:
            first_row: the first row of the micro-batch in the global batch, int32 scalar.
        """
        variables = self._model.trainable_variables
        size = tuple(self._training_model.input_shape[1:3])
        inputs = images if size == tuple(images.shape[1:3]) else resize_images(images, size)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in variables])
            outputs = keras.tree.flatten(
                self._training_model(inputs, training=True, step=step, first_row=first_row)
            )
            logits = outputs[0]
            losses = self._loss(labels, logits)
            if self._teacher:
                losses = self._teacher.mix_losses(losses, images, outputs)
            factors = class_weights.weight_rows(self._class_weights, labels, losses.dtype)
            loss = tf.reduce_sum(losses * tf.cast(weights, losses.dtype) * factors)
            # Every micro-batch on every replica computes the full penalty, and the gradients of all
            # are added up.
            micro_batches = self._strategy.num_replicas_in_sync * self._accumulation.steps
            loss += tf.add_n(self._model.losses) / micro_batches if self._model.losses else 0.0
            scaled = self._optimizer.scale_loss(loss)
        return tape.gradient(scaled, variables), step_sums.compute(losses, logits, labels, weights)

    def _test_step(self, step: tf.Tensor, learning_rate: tf.Tensor, *batch: tf.Tensor) -> tf.Tensor:
        """Return the sums of a local batch."""
        _, sums = self._accumulation.add_up(
            lambda i, *rows: self._compiled_losses(*rows), batch, []
        )
        return sums

    def _compute_losses(
        self, images: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[list[tf.Tensor], tf.Tensor]:
        """Return an empty list instead of gradients, and a micro-batch's sums."""
        logits = self._model(images, training=False)
        losses = self._loss(labels, logits)
        return [], step_sums.compute(losses, logits, labels, weights)
