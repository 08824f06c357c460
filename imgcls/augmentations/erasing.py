"""Cover a box of some images with noise (Zhong et al., 2020, Random Erasing Data Augmentation, algorithm 1)."""

from typing import TYPE_CHECKING, Literal

from imgcls.augmentations import AugmentationSettings, Draws, PositiveRange, Share

if TYPE_CHECKING:
    import tensorflow as tf

RANDOM_KEY = "erasing"


class Settings(AugmentationSettings):
    """The settings of the erasing."""

    probability: Share = 0.5
    """Share of the images that lose a box."""
    scale: PositiveRange = [0.02, 0.4]
    """Least and largest share of the image's area."""
    ratio: PositiveRange = [0.3, 1 / 0.3]
    """Least and largest width over height of the box."""
    fill: Literal["noise", "black"] = "noise"
    """What the box shows: random bytes, the paper's best choice, or zeros."""


def compute(settings: Settings, images: "tf.Tensor", draws: Draws) -> "tf.Tensor":
    """Cover a box of each image with the given probability; an image in which none of ten boxes fits stays whole."""
    from imgcls.augmentations._boxes import boxes
    from imgcls.augmentations._bytes import inside, pasted
    from imgcls.backend import tf

    shape = images.shape[1:].as_list()
    drawn, fits = boxes(settings.scale, settings.ratio, draws, *[tf.fill([images.shape[0]], side) for side in shape[:2]])
    erased = fits & (draws.uniform(0.0, 1.0) < settings.probability)
    mask = inside(*tf.unstack(tf.where(erased[:, None], drawn, 0), axis=1), shape)
    return pasted(mask, draws.bytes(tuple(shape)) if settings.fill == "noise" else tf.zeros_like(images), images)
