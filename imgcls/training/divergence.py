"""Detects losses, gradients and weights that are not finite. Heavy zone."""

from collections.abc import Callable

import numpy

from imgcls.backend import keras, tf
from imgcls.errors import DivergenceError
from imgcls.io import terminal
from imgcls.training import step_sums
from imgcls.training.status import Divergence

ADVICE = (
    "lower train.optimizer.learning_rate, or add warmup to train.schedule (train.on_divergence"
    " lowers the learning rate automatically); the last good checkpoint is kept"
)
MAX_IDS = 5
"""How many image ids an error message lists."""


class DivergenceDetector:
    """Raises an error that says where training diverged: epoch, step, learning rate and images.

    Args:
        get_learning_rate: returns the learning rate of a step, counted from 0.
        get_ids: returns the ids of the images of a step, counted from 0.
    """

    def __init__(
        self,
        steps_per_epoch: int,
        get_learning_rate: Callable[[int], float],
        get_ids: Callable[[int], list[str]],
    ):
        self._steps_per_epoch = steps_per_epoch
        self._get_learning_rate = get_learning_rate
        self._get_ids = get_ids

    def check_steps(self, epoch: int, sums: numpy.ndarray) -> None:
        """Check the losses and gradients of an epoch's steps so far.

        Args:
            epoch: counted from 0.
            sums: over the epoch's steps so far, float64 (ENTRIES,); see step_sums.py.

        Raises:
            DivergenceError: a loss or gradient was not finite; the error names the first such step.
        """
        if numpy.isfinite(sums[step_sums.LOSS]) and not sums[step_sums.NONFINITE_GRADIENTS]:
            return
        step = epoch * self._steps_per_epoch + int(sums[step_sums.FINITE_STEPS])
        subject = "the loss" if not numpy.isfinite(sums[step_sums.LOSS]) else "a gradient"
        rate, ids = self._get_learning_rate(step), self._get_ids(step)
        images = terminal.format_some(list(map(terminal.to_printable, ids)), MAX_IDS)
        raise DivergenceError(
            f"{subject} is not finite in epoch {epoch + 1}, at step {step + 1}, with a learning"
            f" rate of {rate:.3g}, on the images {images}; status.json lists all; {ADVICE}",
            _describe(epoch=epoch + 1, step=step + 1, learning_rate=rate, images=ids),
        )

    def check_weights(self, variables: list[keras.Variable], step: int) -> None:
        """Check the weights after `step` steps, so that no bad checkpoint is saved.

        The loss would show the problem one step later.

        Raises:
            DivergenceError: a variable is not finite.
        """
        # One answer of the device; the values are copied to the host to find a name only.
        floats = [each.value for each in variables if tf.as_dtype(each.dtype).is_floating]
        if _compiled_check([tf.convert_to_tensor(value) for value in floats]):
            return
        nonfinite = next(
            variable.path
            for variable in variables
            if not numpy.isfinite(variable.value.numpy()).all()
        )
        rate = self._get_learning_rate(step - 1)
        raise DivergenceError(
            f"{nonfinite} is no longer finite after step {step}, with a learning rate of"
            f" {rate:.3g}; {ADVICE}",
            _describe(step=step, learning_rate=rate),
        )

    def check_loss(self, name: str, loss: float | None, epoch: int) -> None:
        """Check a loss at the end of an epoch, counted from 1; None if there is none.

        Args:
            name: what loss it is, such as "the validation loss".

        Raises:
            DivergenceError: the loss is not finite.
        """
        if loss is not None and not numpy.isfinite(loss):
            raise DivergenceError(
                f"{name} became {loss} in epoch {epoch}; {ADVICE}", _describe(epoch=epoch)
            )


def _are_finite(tensors: list[tf.Tensor]) -> tf.Tensor:
    """Return whether all values are finite, bool scalar."""
    finite = [tf.reduce_all(tf.math.is_finite(tensor)) for tensor in tensors]
    return tf.reduce_all(tf.stack(finite))


_compiled_check = tf.function(_are_finite)


def _describe(
    epoch: int | None = None,
    step: int | None = None,
    learning_rate: float | None = None,
    images: list[str] | None = None,
) -> Divergence:
    if learning_rate is not None and not numpy.isfinite(learning_rate):
        learning_rate = None
    return Divergence(epoch=epoch, step=step, learning_rate=learning_rate, images=images)
