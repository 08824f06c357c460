"""One cycle: the learning rate climbs to its peak, then falls far below where it started (Smith and
Topin, 2019, https://arxiv.org/abs/1708.07120).

Settings and results are those of torch's OneCycleLR with two phases; momentum stays constant. Light
zone.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy


class Settings(PartSettings):
    """The settings of the cycle."""

    pct_start: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """Fraction of the training, 0..1, during which the learning rate climbs."""
    div_factor: Annotated[float, Field(ge=1)] = 25.0
    """The peak divided by the first learning rate."""
    final_div_factor: Annotated[float, Field(ge=1)] = 1e4
    """The first learning rate divided by the last one."""
    anneal_strategy: Literal["cos", "linear"] = "cos"
    """Whether the learning rate changes along half a cosine wave, or linearly."""


def compute(
    settings: Settings, peak: float, steps: "numpy.ndarray", total_steps: int, steps_per_epoch: int
) -> "numpy.ndarray":
    """Return the learning rate of each step, float64 (n,)."""
    import numpy

    # The last step before each phase ends has its final rate, as in torch.
    top, end = settings.pct_start * total_steps - 1, total_steps - 1
    first = peak / settings.div_factor
    last = first / settings.final_div_factor

    def anneal(start: float, stop: float, progress: "numpy.ndarray") -> "numpy.ndarray":
        if settings.anneal_strategy == "linear":
            return start + (stop - start) * progress
        return stop + (start - stop) / 2 * (1 + numpy.cos(numpy.pi * progress))

    climb = anneal(first, peak, numpy.clip(steps / top, 0.0, 1.0)) if top > 0 else peak
    fall = anneal(peak, last, numpy.clip((steps - top) / (end - top), 0.0, 1.0))
    return numpy.where(steps <= top, climb, fall)
