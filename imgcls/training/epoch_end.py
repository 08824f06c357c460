"""What happens after the last step of an epoch: validation, the log, and decisions. Heavy zone."""

import time

from imgcls.input.iterators import BatchIterator
from imgcls.train_config import Train
from imgcls.training import history, step_sums
from imgcls.training.counters import Counters
from imgcls.training.divergence import DivergenceDetector
from imgcls.training.replicated_model import ReplicatedModel


class EpochEnd:
    """Validates a model after each epoch, and logs its results.

    Args:
        validation_batches: their number.
    """

    def __init__(
        self,
        settings: Train,
        replicated: ReplicatedModel,
        divergence: DivergenceDetector,
        validation_batches: int,
    ):
        self._settings = settings
        self._replicated = replicated
        self._divergence = divergence
        self._validation_batches = validation_batches

    def end_epoch(
        self,
        counters: Counters,
        validation: BatchIterator | None,
        learning_rate: float,
        steps_per_execution: int,
    ) -> None:
        """Validate the model, add the epoch to the log, and lower the learning rate on a plateau.

        Args:
            validation: over the validation split; None without one.
            learning_rate: of the epoch's last step.

        Raises:
            DivergenceError: a weight or the validation loss is not finite.
        """
        self._divergence.check_weights(self._replicated.model.variables, counters.step)
        with self._replicated.use_validated_weights():
            val_loss, val_accuracy = self._validate(counters, validation)
        counters.end_epoch(val_loss, val_accuracy, learning_rate, steps_per_execution)
        plateau = self._settings.plateau
        if plateau and history.should_reduce_learning_rate(counters.epochs, plateau):
            counters.learning_rate_factor *= plateau.factor

    def _validate(
        self, counters: Counters, iterator: BatchIterator | None
    ) -> tuple[float | None, float | None]:
        """Return loss and accuracy on the validation split; None without one."""
        if iterator is None:
            return None, None
        start = time.perf_counter()
        sums = self._replicated.steps.evaluate(iterator, self._validation_batches)
        counters.record_time("validation", start)
        loss, accuracy = step_sums.compute_means(sums)
        self._divergence.check_validation(loss, len(counters.epochs) + 1)
        return loss, accuracy
