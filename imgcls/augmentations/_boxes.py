"""Boxes of random area and aspect ratio. Heavy zone."""

import math

from imgcls.augmentations import RandomParameters
from imgcls.backend import tf

CANDIDATES = 10
"""Boxes drawn for each image; the first that fits is used. As many as torchvision tries."""


def draw_boxes(
    scale: list[float],
    ratio: list[float],
    random: RandomParameters,
    heights: tf.Tensor,
    widths: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draw a box inside each image (Szegedy et al., 2015, section 6).

    Args:
        scale: smallest and largest fraction of the image's area; uniform in between.
        ratio: smallest and largest aspect ratio, width / height; its logarithm is uniform.
        heights, widths: of the images, int32 (batch,).

    Returns:
        The boxes, int32 (batch, 4): top, left, height, width; and whether any candidate fits,
        bool (batch,); if none does, the box is meaningless.
    """
    height, width = (tf.cast(each, tf.float32)[:, None] for each in (heights, widths))
    areas = random.uniform(scale[0], scale[1], (CANDIDATES,)) * height * width
    ratios = tf.exp(random.uniform(math.log(ratio[0]), math.log(ratio[1]), (CANDIDATES,)))
    sizes = tf.stack([tf.round(tf.sqrt(areas / ratios)), tf.round(tf.sqrt(areas * ratios))], axis=2)
    limits = tf.stack([height, width], axis=2)
    fits = tf.reduce_all((sizes > 0) & (sizes <= limits), axis=2)
    size = tf.gather(sizes, tf.argmax(tf.cast(fits, tf.int32), axis=1), axis=1, batch_dims=1)
    corner = tf.floor(random.uniform(0.0, 1.0, (2,)) * (limits[:, 0] - size + 1))
    return tf.cast(tf.concat([corner, size], axis=1), tf.int32), tf.reduce_any(fits, axis=1)
