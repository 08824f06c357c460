"""Turn, shift, scale and shear each image, all in one warp (as torchvision's RandomAffine; Ciresan
et al., 2012, section 3).

Light zone.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, Fraction, PositiveRange, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "affine"


class Settings(AugmentationSettings):
    """The warp's settings. It draws each quantity uniformly."""

    degrees: Annotated[float, Field(ge=0, le=180)] = 15.0
    """Largest turn, in either direction."""
    translate: Fraction = 0.1
    """Largest shift along either axis, as a share of the image's size."""
    scale: PositiveRange = [0.9, 1.1]
    """Least and largest enlargement."""
    shear: Annotated[float, Field(ge=0, lt=90)] = 10.0
    """Largest shear along x, an angle in degrees."""
    interpolation: Literal["nearest", "bilinear"] = "bilinear"
    """How a pixel is read between the image's pixels."""
    fill: Literal["constant", "reflect", "nearest"] = "constant"
    """What shows where the image ends: zeros, the image mirrored at its edge, or the border pixel
    repeated.
    """


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Warp each image about its centre: shear, scale, turn, shift."""
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
    # All in one draw: each more is ten steps of the graph, which count where images are small.
    degrees, shear, right, down, scale = tf.unstack(
        low + random.uniform(0.0, 1.0, (5,)) * (high - low), axis=1
    )
    return _warps.warp(
        images,
        _warps.compute_inverse_matrix(degrees, shear, scale, right, down),
        settings.interpolation,
        settings.fill,
    )
