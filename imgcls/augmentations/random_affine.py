"""Rotate, shift, scale and shear each image in one warp (Ciresan et al., 2012, section 3).

As torchvision's RandomAffine. Light zone.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, Fraction, PositiveRange, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "affine"


class Settings(AugmentationSettings):
    """The warp's settings; each quantity is drawn uniformly."""

    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Largest rotation, in either direction."""
    translate: Fraction = 0.1
    """Largest shift along each axis, as a fraction of the image's size."""
    scale: PositiveRange = [0.9, 1.1]
    """Smallest and largest scale factor."""
    shear: Annotated[float, Field(ge=0, lt=90)] = 10.0
    """Largest shear along x, an angle in degrees."""
    interpolation: Literal["nearest", "bilinear"] = "bilinear"
    """How values between pixels are interpolated."""
    fill: Literal["constant", "reflect", "nearest"] = "constant"
    """What fills the outside: zeros, the image mirrored at its edge, or the nearest pixel."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Warp each image about its center: shear, scale, rotate, shift."""
    from imgcls.augmentations import _warps
    from imgcls.backend import tf

    height, width = images.shape[1:3]
    most = [
        settings.degrees,
        settings.shear,
        settings.translate * width,
        settings.translate * height,
    ]
    low = tf.constant([-each for each in most] + settings.scale[:1])
    high = tf.constant(most + settings.scale[1:])
    # One call for all: each costs ten operations of the graph, which matter if images are small.
    degrees, shear, right, down, scale = tf.unstack(
        low + random.uniform(0.0, 1.0, (5,)) * (high - low), axis=1
    )
    return _warps.warp(
        images,
        _warps.compute_inverse_matrix(degrees, shear, scale, right, down),
        settings.interpolation,
        settings.fill,
    )
