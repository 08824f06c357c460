"""Grad-CAM: the last features of the convolutions, weighted by the logit's gradient. Light zone.

Selvaraju et al., 2017, "Grad-CAM: Visual Explanations from Deep Networks", equations 1 and 2. The
features are those of the last convolution, after its normalization and activation and before any
pooling; each channel is weighted by the mean of its gradient, and negative sums become 0. The map
is enlarged to the image bilinearly, so it is as coarse as the features.
"""

from typing import TYPE_CHECKING, ClassVar

from imgcls.explainers import ExplainerSettings, Target

if TYPE_CHECKING:
    import numpy

    from imgcls.explanation.network import Network


class Settings(ExplainerSettings):
    """The settings of Grad-CAM."""

    is_signed: ClassVar[bool] = False

    layer: str | None = None
    """The name of the layer whose outputs are the features; unless given, the last one
    before anything changes the size of the last convolution's outputs."""


def explain(settings: Settings, network: "Network", image: Target) -> "numpy.ndarray":
    """Return the weighted sum of the features, float32 (height, width), at least 0.

    Raises:
        UserError: the network has no convolution, or no such layer.
    """
    import numpy

    from imgcls.explanation.features import find_features

    call = find_features(network, settings.layer)
    features, gradients = network.compute_features(image.pixels, image.label, call)
    weights = gradients.mean(axis=(0, 1), dtype=numpy.float64)
    heat = numpy.maximum(features.astype(numpy.float64) @ weights, 0)
    return _enlarge(heat, image.pixels.shape[:2]).astype(numpy.float32)


def _enlarge(heat: "numpy.ndarray", size: "tuple[int, ...]") -> "numpy.ndarray":
    """Enlarge a map bilinearly; the centers of the outer features are not extrapolated."""
    for axis, side in enumerate(size):
        heat = _interpolate(heat, axis, side)
    return heat


def _interpolate(heat: "numpy.ndarray", axis: int, side: int) -> "numpy.ndarray":
    import numpy

    last = heat.shape[axis] - 1
    positions = numpy.clip((numpy.arange(side) + 0.5) * (last + 1) / side - 0.5, 0, last)
    low = numpy.floor(positions).astype(int)
    high = numpy.minimum(low + 1, last)
    shape = [1, 1]
    shape[axis] = side
    weight = (positions - low).reshape(shape)
    return heat.take(low, axis) * (1 - weight) + heat.take(high, axis) * weight
