"""Stopping on numbers that are not finite, and saying where: epoch, step, learning rate, images.
Heavy zone.
"""

from collections.abc import Callable

import numpy

from imgcls.backend import keras
from imgcls.errors import DivergenceError
from imgcls.io import terminal
from imgcls.training import steps
from imgcls.training.status import Divergence

ADVICE = (
    "lower train.optimizer.learning_rate, or add warmup to train.schedule (train.on_divergence"
    " lowers the rate by itself); the last good state is kept"
)
SHOWN = 5


class Guard:
    """Refuses steps whose loss or gradients are not finite.

    Args:
        rate: from the steps done to the learning rate of the next one.
        ids: from the steps done to the ids of the images of the next one.
    """

    def __init__(
        self, steps_per_epoch: int, rate: Callable[[int], float], ids: Callable[[int], list[str]]
    ):
        self._steps_per_epoch = steps_per_epoch
        self._rate = rate
        self._ids = ids

    def check_steps(self, epoch: int, sums: numpy.ndarray) -> None:
        """Look at the sums over the steps of an epoch so far.

        Args:
            epoch: from 0.

        Raises:
            DivergenceError: a loss or gradient was not finite; it names the first such step.
        """
        if numpy.isfinite(sums[steps.LOSS]) and not sums[steps.NONFINITE_GRADIENTS]:
            return
        done = epoch * self._steps_per_epoch + int(sums[steps.FINITE_STEPS])
        what = "the loss" if not numpy.isfinite(sums[steps.LOSS]) else "a gradient"
        ids = self._ids(done)
        images = terminal.format_some(list(map(terminal.to_printable, ids)), SHOWN)
        raise DivergenceError(
            f"{what} is not finite in epoch {epoch + 1}, at step {done + 1}, at a learning"
            f" rate of {self._rate(done):.3g}, on the images {images}; status.json lists all;"
            f" {ADVICE}",
            _describe(epoch=epoch + 1, step=done + 1, learning_rate=self._rate(done), images=ids),
        )

    def check_weights(self, variables: list[keras.Variable], step: int) -> None:
        """Refuse to save weights that the last step broke: the loss would show it one step later.

        Raises:
            DivergenceError: a variable is not finite.
        """
        broken = [
            variable.path
            for variable in variables
            if not numpy.isfinite(variable.value.numpy()).all()
        ]
        if broken:
            rate = self._rate(step - 1)
            raise DivergenceError(
                f"{broken[0]} is no longer finite after step {step}, at a learning rate of"
                f" {rate:.3g}; {ADVICE}",
                _describe(step=step, learning_rate=rate),
            )

    def check_validation(self, loss: float | None, epoch: int) -> None:
        """Look at an epoch's validation loss.

        Raises:
            DivergenceError: it is not finite.
        """
        if loss is not None and not numpy.isfinite(loss):
            raise DivergenceError(
                f"the validation loss became {loss} in epoch {epoch}; {ADVICE}",
                _describe(epoch=epoch),
            )


def _describe(
    epoch: int | None = None,
    step: int | None = None,
    learning_rate: float | None = None,
    images: list[str] | None = None,
) -> Divergence:
    if learning_rate is not None and not numpy.isfinite(learning_rate):
        learning_rate = None
    return Divergence(epoch=epoch, step=step, learning_rate=learning_rate, images=images)
