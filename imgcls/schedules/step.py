"""Step decay: a learning rate that is multiplied by `gamma` at milestones, or at regular intervals,
after an optional linear warm-up (He et al., 2016, section 4.2, https://arxiv.org/abs/1512.03385).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator

from imgcls.durations import Duration, DurationIn
from imgcls.errors import UserError
from imgcls.schedules import WarmupSettings

if TYPE_CHECKING:
    import numpy

Position = Annotated[Duration, DurationIn("%", "steps", "epochs")]

DEFAULT_MILESTONES = ["50%", "75%"]


class Settings(WarmupSettings):
    """The settings of the step decay."""

    milestones: Annotated[list[Position], Field(min_length=1)] | None = None
    """When the learning rate is lowered, counted from the start of training, such as [30 epochs, 60
    epochs]; [50%, 75%] unless this or `every` is given.
    """
    every: Position | None = None
    """Interval after which the learning rate is lowered, again and again, from the end of the
    warm-up; instead of milestones.
    """
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Factor on the learning rate, each time."""

    def get_durations(self) -> dict[str, Duration | None]:
        """Return the durations that must not be longer than the training, by their keys."""
        milestones = {f"milestones.{i}": each for i, each in enumerate(self.milestones or [])}
        return {**super().get_durations(), **milestones, "every": self.every}

    @model_validator(mode="before")
    @classmethod
    def _fill_milestones(cls, value: Any) -> Any:
        if isinstance(value, dict) and value.get("every") is None:
            milestones = value.get("milestones")
            return {**value, "milestones": DEFAULT_MILESTONES if milestones is None else milestones}
        return value

    @model_validator(mode="after")
    def _check_choice(self) -> "Settings":
        if self.milestones is not None and self.every is not None:
            raise ValueError("has both milestones and every; give one of them")
        return self


def compute(
    settings: Settings, peak: float, steps: "numpy.ndarray", total_steps: int, steps_per_epoch: int
) -> "numpy.ndarray":
    """Return the learning rate of each step, float64 (n,).

    Raises:
        UserError: a milestone or the first interval is not within the training.
    """
    import numpy

    warmup_steps = settings.count_warmup_steps(total_steps, steps_per_epoch)

    def count(key: str, position: Duration, start: int) -> int:
        """Return the step before which the rate is lowered, `position` after `start`."""
        number = start + position.count_steps(total_steps, steps_per_epoch)
        if number < total_steps or (position.unit == "%" and position.number < 100 and not start):
            return min(number, total_steps - 1)
        raise UserError(
            f"train.schedule.{key}: {position} is not within the training, which has"
            f" {total_steps / steps_per_epoch:g} epochs of {steps_per_epoch} steps, and would have"
            " no effect; make it earlier, or train for longer"
        )

    if settings.every is None:
        numbers = [count("milestones", each, 0) for each in settings.milestones or []]
        passed = numpy.searchsorted(numpy.sort(numbers), steps, side="right")
    else:
        interval = max(count("every", settings.every, warmup_steps) - warmup_steps, 1)
        passed = numpy.maximum(steps - warmup_steps, 0) // interval
    climb = numpy.where(steps < warmup_steps, steps / max(warmup_steps, 1), 1.0)
    return peak * climb * settings.gamma**passed
