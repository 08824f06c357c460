"""A power of the remaining fraction of training, from the peak down to `final_fraction` of it,
after an optional linear warm-up; linear by default.

Liu et al., 2015, "ParseNet", https://arxiv.org/abs/1506.04579; results are those of Keras's
PolynomialDecay. Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.schedules import WarmupSettings

if TYPE_CHECKING:
    import numpy


class Settings(WarmupSettings):
    """The polynomial schedule's settings."""

    power: Annotated[float, Field(gt=0)] = 1.0
    """Exponent of the remaining fraction of training; 1 lowers the learning rate linearly."""
    final_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0
    """The learning rate at the end of training, as a fraction of the peak."""


def compute(
    settings: Settings, peak: float, steps: "numpy.ndarray", total_steps: int, steps_per_epoch: int
) -> "numpy.ndarray":
    """Return the learning rate of each step, float64 (n,)."""
    import numpy

    warmup_steps, progress = settings.compute_progress(steps, total_steps, steps_per_epoch)
    remaining = (1 - progress) ** settings.power
    decay = settings.final_fraction + (1 - settings.final_fraction) * remaining
    return peak * numpy.where(steps < warmup_steps, steps / max(warmup_steps, 1), decay)
