"""Smooth gradients: the size of the logit's gradient, averaged over noisy copies. Light zone.

Smilkov et al., 2017, "SmoothGrad: removing noise by adding noise". The absolute values of the
average are added up over the channels, so that a map says where a small change matters, but not in
which direction.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from imgcls.explainers import ExplainerSettings, Target

if TYPE_CHECKING:
    import numpy

    from imgcls.explanation.network import Network


class Settings(ExplainerSettings):
    """The settings of smooth gradients."""

    is_signed: ClassVar[bool] = False

    samples: Annotated[int, Field(ge=1)] = 32
    """Number of noisy copies."""
    noise: Annotated[float, Field(ge=0)] = 0.15
    """The std of the noise, as a fraction of the range of the image's pixels; the paper
    finds 0.1 to 0.2 to look best."""


def explain(settings: Settings, network: "Network", image: Target) -> "numpy.ndarray":
    """Return the absolute gradient of each pixel, float32 (height, width)."""
    import numpy

    generator = numpy.random.Generator(numpy.random.Philox(image.seed))
    scale = settings.noise * (image.pixels.max() - image.pixels.min())
    total = numpy.zeros(image.pixels.shape, numpy.float64)
    for some in network.divide(numpy.arange(settings.samples)):
        noise = generator.standard_normal((len(some), *image.pixels.shape), numpy.float32)
        noisy = image.pixels + scale * noise
        total += network.compute_gradients(noisy, image.label).sum(axis=0, dtype=numpy.float64)
    return numpy.abs(total / settings.samples).sum(axis=-1).astype(numpy.float32)
