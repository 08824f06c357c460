"""Integrated gradients: the gradient of the logit, averaged between a baseline and the image. Light
zone.

Sundararajan et al., 2017, "Axiomatic Attribution for Deep Networks", equation 1: the average of the
gradients along the straight line from the baseline, times the difference to the baseline. The sum
over all pixels is the difference between the logits of the image and of the baseline
(completeness); with few steps, nearly so. Channels are added up.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from imgcls.explainers import ExplainerSettings, Target

if TYPE_CHECKING:
    import numpy

    from imgcls.explanation.network import Network


class Settings(ExplainerSettings):
    """The settings of integrated gradients."""

    is_signed: ClassVar[bool] = True

    steps: Annotated[int, Field(ge=1)] = 64
    """Images between the baseline and the image at which the gradient is taken: the middles of as
    many equal steps. More of them come closer to completeness."""


def explain(settings: Settings, network: "Network", image: Target) -> "numpy.ndarray":
    """Return the contribution of each pixel to the logit, float32 (height, width)."""
    import numpy

    difference = image.pixels - image.baseline
    fractions = (numpy.arange(settings.steps, dtype=numpy.float32) + 0.5) / settings.steps
    total = numpy.zeros(image.pixels.shape, numpy.float64)
    for some in network.divide(fractions):
        path = image.baseline + some[:, None, None, None] * difference
        total += network.compute_gradients(path, image.label).sum(axis=0, dtype=numpy.float64)
    return (total / settings.steps * difference).sum(axis=-1).astype(numpy.float32)
