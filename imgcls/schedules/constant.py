"""A constant learning rate, after an optional linear warm-up (Goyal et al., 2017, section 2.2,
https://arxiv.org/abs/1706.02677).

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.schedules import WarmupSettings

if TYPE_CHECKING:
    import numpy


class Settings(WarmupSettings):
    """The constant schedule's settings."""


def compute(
    settings: Settings, peak: float, steps: "numpy.ndarray", total_steps: int, steps_per_epoch: int
) -> "numpy.ndarray":
    """Return the learning rate of each step, float64 (n,)."""
    import numpy

    warmup_steps = settings.count_warmup_steps(total_steps, steps_per_epoch)
    return peak * numpy.where(steps < warmup_steps, steps / max(warmup_steps, 1), 1.0)
