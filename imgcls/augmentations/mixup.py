"""mixup: mix each image and its targets with those of another (Zhang et al., 2018).

https://arxiv.org/abs/1710.09412. Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, Fraction, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "mixup"


class Settings(AugmentationSettings):
    """mixup's settings."""

    alpha: Annotated[float, Field(gt=0)] = 0.2
    """An image's own weight is Beta(alpha, alpha), in steps of 1/256: uniform with alpha 1, mostly
    close to 0 or 1 with alpha near 0.
    """
    probability: Fraction = 1.0
    """Fraction of the images that are mixed."""


def mix(
    settings: Settings, images: "tf.Tensor", targets: "tf.Tensor", random: RandomParameters
) -> tuple["tf.Tensor", "tf.Tensor"]:
    """Mix each image with its partner, in a ratio of its own; the paper draws one per batch."""
    from imgcls.augmentations import _mixing
    from imgcls.backend import tf

    ratios = (
        tf.cast(
            _mixing.draw_mixing_ratios(settings.alpha, settings.probability, random), tf.float32
        )
        / 256
    )
    return _mixing.mix_images(images, ratios), _mixing.mix_values(targets, ratios)
