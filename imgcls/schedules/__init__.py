"""Learning-rate schedules: each file holds `Settings` and
`build(settings, learning_rate, steps, steps_per_epoch)`.

`learning_rate` is the peak, from the optimizer's settings; `steps` is how many the whole training
has, `steps_per_epoch` how many an epoch has. The function returns a number or a
`keras.optimizers.schedules.LearningRateSchedule`, a pure function of the step, so that resuming
needs no state of its own. Light zone: keras is imported inside `build`.
"""

from typing import Annotated

from imgcls.durations import Duration, DurationIn
from imgcls.errors import UserError
from imgcls.parts import PartSettings


class WarmupSettings(PartSettings):
    """Settings of a schedule that can begin with a warm-up."""

    warmup: Annotated[Duration, DurationIn("%", "steps", "epochs")] | None = None
    """How long the learning rate climbs linearly from 0 to its peak at the start of training. No
    warm-up unless given.
    """

    def count_warmup_steps(self, steps: int, steps_per_epoch: int) -> int:
        """Return how many steps the warm-up takes; arguments as those of `build`.

        Raises:
            UserError: it takes more steps than the training has.
        """
        if self.warmup is None:
            return 0
        count = self.warmup.count_steps(steps, steps_per_epoch)
        if count > steps:
            raise UserError(
                f"train.schedule.warmup is {self.warmup}, but the training has {steps} steps; give"
                " at most that many, or a percentage such as 5%"
            )
        return count
