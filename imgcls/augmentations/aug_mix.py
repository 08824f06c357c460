"""AugMix: each image mixed with chains of operations on it (Hendrycks et al., 2020, algorithm 1), without the loss of that paper."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, Draws

if TYPE_CHECKING:
    import tensorflow as tf

OPERATIONS = (
    "identity", "autocontrast", "equalize", "posterize", "rotate", "solarize", "shear_x", "shear_y", "translate_x", "translate_y",
)  # fmt: skip
"""Those of the paper, which leaves out what ImageNet-C tests; the identity ends a chain."""


class Settings(AugmentationSettings):
    """AugMix's settings."""

    severity: Annotated[float, Field(ge=0.1, le=10)] = 3.0
    """Largest level of an operation, of 10."""
    width: Annotated[int, Field(ge=1)] = 3
    """Chains of operations, which are mixed with random weights."""
    depth: Annotated[int, Field(ge=1)] = 3
    """Most operations of a chain; each chain draws its own number."""


def compute(settings: Settings, images: "tf.Tensor", draws: Draws) -> "tf.Tensor":
    """Mix each image with its chains: Dirichlet(1, ..., 1) weights among these, a Beta(1, 1) share for the image itself."""
    from imgcls.augmentations._bytes import rounded
    from imgcls.augmentations._operations import Space, each_by_its_own
    from imgcls.backend import tf

    width, right, down = (settings.width,), images.shape[2] / 3, images.shape[1] / 3
    space = Space(0.3, right, down, degrees=30.0, enhance=0.0, bits=(4, 4), interpolation="bilinear")
    functions = [getattr(space, name) for name in OPERATIONS]
    depths = 1 + tf.floor(draws.uniform(0.0, 1.0, width) * settings.depth)
    chains = tf.repeat(images, settings.width, axis=0)
    for place in range(settings.depth):
        any_of = 1 + tf.floor(draws.uniform(0.0, 1.0, width) * (len(OPERATIONS) - 1))
        choices = tf.cast(tf.where(depths > place, any_of, 0), tf.int32)
        levels = draws.uniform(0.1, settings.severity, width) / 10
        levels *= tf.sign(draws.uniform(-1.0, 1.0, width))
        chains = each_by_its_own(functions, tf.reshape(choices, [-1]), chains, tf.reshape(levels, [-1]))
    # Exponential numbers over their sum are Dirichlet(1, ..., 1); no draw is 1, so that none of them is infinite.
    weights = -tf.math.log1p(-draws.uniform(0.0, 1.0, width))
    weights *= draws.uniform(0.0, 1.0, (1,)) / tf.maximum(tf.reduce_sum(weights, axis=1, keepdims=True), 1e-30)
    pixels = tf.cast(tf.reshape(chains, [-1, settings.width, images.shape[1] * images.shape[2] * images.shape[3]]), tf.float32)
    own = tf.reshape(tf.cast(images, tf.float32), [-1, pixels.shape[2]]) * (1 - tf.reduce_sum(weights, axis=1, keepdims=True))
    mixed = own + tf.reshape(tf.matmul(weights[:, None, :], pixels), tf.shape(own))
    return rounded(tf.reshape(mixed, images.shape))
