"""Occlusion: by how much the logit falls if a patch of the image is covered. Light zone.

Zeiler and Fergus, 2014, "Visualizing and Understanding Convolutional Networks", section 4.2. A
patch is covered by the baseline, one after the other over the whole image; a pixel has the mean of
the patches that cover it. It needs no gradients.
"""

from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from imgcls.explainers import ExplainerSettings, Target

if TYPE_CHECKING:
    import numpy

    from imgcls.explanation.network import Network


class Settings(ExplainerSettings):
    """The settings of occlusion."""

    is_signed: ClassVar[bool] = True

    patch: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Height and width of the patches, as fractions of those of the image."""
    stride: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Distance between neighboring patches, as a fraction of their size: below 1, they overlap."""


def explain(settings: Settings, network: "Network", image: Target) -> "numpy.ndarray":
    """Return the fall of the logit for each pixel, float32 (height, width)."""
    import numpy

    height, width = image.pixels.shape[:2]
    rows, columns = (_place(side, settings) for side in (height, width))
    patches = [(row, column) for row in rows for column in columns]
    (logit,) = network.compute_logits(image.pixels[None], image.label)
    total = numpy.zeros((height, width))
    count = numpy.zeros((height, width), int)
    for some in network.divide(patches):
        covered = numpy.repeat(image.pixels[None], len(some), axis=0)
        for each, patch in zip(covered, some, strict=True):
            each[patch] = image.baseline[patch]
        falls = logit - network.compute_logits(covered, image.label)
        for fall, patch in zip(falls, some, strict=True):
            total[patch] += fall
            count[patch] += 1
    return (total / count).astype(numpy.float32)


def _place(side: int, settings: Settings) -> list[slice]:
    """Return the patches along a side; the last one ends where the image does."""
    size = max(round(settings.patch * side), 1)
    stride = min(max(round(settings.stride * size), 1), size)
    starts = [*range(0, side - size, stride), side - size]
    return [slice(start, start + size) for start in starts]
