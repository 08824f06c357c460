"""Learning-rate schedules: each file holds `Settings` and
`compute(settings, peak, steps, total_steps, steps_per_epoch)`.

`peak` is the optimizer's learning rate; `steps` are the numbers of training steps, counted from 0,
int64 (n,); `total_steps` is how many the whole training has, `steps_per_epoch` how many an epoch
has. The function returns the learning rate of each step, float64 (n,). It is a pure function, so
that resuming needs no state, and it is computed on the host, so that a GPU does not wait for it.
Light zone: numpy is imported inside `compute`.
"""

from typing import TYPE_CHECKING, Annotated

from imgcls.durations import Duration, DurationIn
from imgcls.errors import UserError
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy


class WarmupSettings(PartSettings):
    """Settings of a schedule that can begin with a warm-up."""

    warmup: Annotated[Duration, DurationIn("%", "steps", "epochs")] | None = None
    """How long the learning rate climbs linearly from 0 to its peak at the start of training. No
    warm-up unless given.
    """

    def get_durations(self) -> dict[str, Duration | None]:
        """Return the durations that must not be longer than the training, by their keys."""
        return {"warmup": self.warmup}

    def count_warmup_steps(self, total_steps: int, steps_per_epoch: int) -> int:
        """Return how many steps the warm-up takes; arguments as those of `compute`.

        Raises:
            UserError: it takes more steps than the training has.
        """
        if self.warmup is None:
            return 0
        count = self.warmup.count_steps(total_steps, steps_per_epoch)
        if count > total_steps:
            raise UserError(
                f"train.schedule.warmup is {self.warmup}, but the training has {total_steps} steps;"
                " give at most that many, or a percentage such as 5%"
            )
        return count

    def compute_progress(
        self, steps: "numpy.ndarray", total_steps: int, steps_per_epoch: int
    ) -> "tuple[int, numpy.ndarray]":
        """Return the number of warm-up steps, and how much of the rest has passed before each step.

        At least one step is not of the warm-up, so the latter is in 0..1, float64 (n,).
        """
        import numpy

        count = min(self.count_warmup_steps(total_steps, steps_per_epoch), total_steps - 1)
        return count, numpy.clip((steps - count) / (total_steps - count), 0.0, 1.0)
