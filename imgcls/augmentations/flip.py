"""Horizontal flip (Krizhevsky et al., 2012, section 4.1). Wrong for things that read left to right, such as digits and letters."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import Draws
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import tensorflow as tf


class Settings(PartSettings):
    """The flip's settings."""

    probability: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the images that are flipped."""


def compute(settings: Settings, images: "tf.Tensor", draws: Draws) -> "tf.Tensor":
    """Flip each image left to right with the given probability."""
    from imgcls.backend import tf

    flipped = draws.uniform(0.0, 1.0) < settings.probability
    return tf.where(flipped[:, None, None, None], tf.reverse(images, axis=[2]), images)
