"""Half a cosine wave from the peak down to `final_fraction` of it, after an optional linear warm-up
(Loshchilov and Hutter, 2017, https://arxiv.org/abs/1608.03983).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.schedules import WarmupSettings

if TYPE_CHECKING:
    import numpy


class Settings(WarmupSettings):
    """The cosine schedule's settings."""

    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The learning rate at the end of training, as a fraction of the peak."""


def compute(
    settings: Settings, peak: float, steps: "numpy.ndarray", total_steps: int, steps_per_epoch: int
) -> "numpy.ndarray":
    """Return the learning rate of each step, float64 (n,)."""
    import numpy

    warmup_steps, progress = settings.compute_progress(steps, total_steps, steps_per_epoch)
    cosine = (1 + numpy.cos(numpy.pi * progress)) / 2
    decay = settings.final_fraction + (1 - settings.final_fraction) * cosine
    return peak * numpy.where(steps < warmup_steps, steps / max(warmup_steps, 1), decay)
