"""Explainers: each file holds `Settings` (an `ExplainerSettings`) and `explain(settings, network,
image)`, which returns a map of what a prediction depends on.

`network` is that of imgcls/explanation/network.py: it computes logits, and their gradients, of any
number of images, in batches of bounded size. `image` is a `Target`: its pixels, those of an image
without information, and the class to explain. The map is float32 (height, width); larger values are
those of pixels that speak for the class. It is a function of these and of `image.seed` alone.

Raises `UserError` if it does not suit the network, with what to do instead. numpy and TensorFlow
are imported inside functions. Light zone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy


class ExplainerSettings(PartSettings):
    """The settings of every explainer."""

    is_signed: ClassVar[bool]
    """Whether maps have negative values, which are those of pixels that speak against the class."""


@dataclass(frozen=True)
class Target:
    """An image whose prediction is to be explained.

    Attributes:
        pixels: float32 (height, width, channels), from 0 to 255.
        baseline: an image without information, of the same shape.
        label: the number of the class to explain.
        seed: of random numbers, another one for each image.
    """

    pixels: "numpy.ndarray"
    baseline: "numpy.ndarray"
    label: int
    seed: int
