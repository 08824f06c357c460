"""What happens after the last step of an epoch: validation, the log, and decisions. Heavy zone."""

import time
from typing import NamedTuple

from imgcls.errors import UserError
from imgcls.input.iterators import BatchIterator
from imgcls.train_config import Train
from imgcls.training import history, step_sums
from imgcls.training.counters import Counters
from imgcls.training.divergence import DivergenceDetector
from imgcls.training.mode_comparison import ModeComparison, note_large_gap
from imgcls.training.phases import Phase
from imgcls.training.replicated_model import ReplicatedModel


class EpochEnd:
    """Validates a model after each epoch, and logs its results.

    Args:
        validation_batches: their number.

    Raises:
        UserError: `train.precise_batch_norm` is set, but the model has no batch norm.
    """

    def __init__(
        self,
        settings: Train,
        replicated: ReplicatedModel,
        divergence: DivergenceDetector,
        comparison: ModeComparison,
        classes: int,
        validation_batches: int,
    ):
        if settings.precise_batch_norm and not replicated.list_batch_norms():
            raise UserError(
                "train.precise_batch_norm is set, but the model has no batch norm; remove the"
                " setting, or choose a model with batch norm"
            )
        self._settings = settings
        self._replicated = replicated
        self._divergence = divergence
        self._comparison = comparison
        self._classes = classes
        self._validation_batches = validation_batches

    def end_epoch(
        self,
        counters: Counters,
        phase: Phase,
        training: BatchIterator | None,
        validation: BatchIterator | None,
        learning_rate: float,
        steps_per_execution: int,
    ) -> None:
        """Validate the model, add the epoch to the log, and lower the learning rate on a plateau.

        Args:
            phase: of the epoch's last step.
            training: over batches of the training split, which `seek` moves; None if
                `train.precise_batch_norm` is not set.
            validation: over the validation split; None without one.
            learning_rate: of the epoch's last step.

        Raises:
            DivergenceError: a weight or a loss is not finite.
        """
        self._divergence.check_weights(self._replicated.model.variables, counters.step)
        start = time.perf_counter()
        losses = self._compute_losses(counters, training, validation)
        counters.record_time("validation", start)
        counters.end_epoch(
            val_loss=losses.val_loss,
            val_accuracy=losses.val_accuracy,
            train_mode_loss=losses.train_mode_loss,
            eval_mode_loss=losses.eval_mode_loss,
            learning_rate=learning_rate,
            image_size=list(phase.size),
            frozen_layers=len(phase.frozen),
            trained_parameters=self._replicated.count_trained_parameters(),
            steps_per_execution=steps_per_execution,
        )
        is_precise = self._settings.precise_batch_norm is not None
        note_large_gap(counters.epochs, self._classes, is_precise=is_precise)
        plateau = self._settings.plateau
        if plateau and history.should_reduce_learning_rate(counters.epochs, plateau):
            counters.learning_rate_factor *= plateau.factor

    def evaluate(
        self, counters: Counters, training: BatchIterator | None, validation: BatchIterator
    ) -> tuple[float, float]:
        """Return loss and accuracy of the model with its current values on the validation split.

        The statistics of batch norm are estimated before, if `training` is given.
        """
        if training:
            self._estimate_batch_norm(counters, training)
        sums = self._replicated.steps.evaluate(validation, self._validation_batches)
        return step_sums.compute_means(sums)

    def _estimate_batch_norm(self, counters: Counters, iterator: BatchIterator) -> None:
        """Estimate the statistics of batch norm on the last batches that were trained on."""
        settings = self._settings.precise_batch_norm
        statistics = self._replicated.batch_norm_statistics
        if settings is None or statistics is None or counters.step == 0:
            return
        count = min(settings.batches, counters.step)
        iterator.seek(counters.step - count)
        statistics.estimate(iterator, counters.step - count, count)
        iterator.close()

    def _compute_losses(
        self, counters: Counters, training: BatchIterator | None, validation: BatchIterator | None
    ) -> "_Losses":
        """Return the losses of the weights that are validated; raises as `end_epoch`."""
        val_loss = val_accuracy = None
        with self._replicated.use_validated_weights():
            if validation:
                val_loss, val_accuracy = self.evaluate(counters, training, validation)
            elif training:
                self._estimate_batch_norm(counters, training)
            modes = self._comparison.compute(counters.step - 1, counters.accumulation_steps)
        epoch = len(counters.epochs) + 1
        self._divergence.check_loss("the validation loss", val_loss, epoch)
        for mode, loss in zip(("training", "evaluation"), modes, strict=True):
            self._divergence.check_loss(f"the loss of a batch in {mode} mode", loss, epoch)
        return _Losses(val_loss, val_accuracy, *modes)


class _Losses(NamedTuple):
    """Results of an epoch's weights, as in `EpochLog`."""

    val_loss: float | None
    val_accuracy: float | None
    train_mode_loss: float
    eval_mode_loss: float
