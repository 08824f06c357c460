"""AugMix: mix each image with augmented versions of itself (Hendrycks et al., 2020, algorithm 1).

The paper's consistency loss is not included. Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.augmentations import AugmentationSettings, RandomParameters

if TYPE_CHECKING:
    import tensorflow as tf

OPERATIONS = (
    "identity", "autocontrast", "equalize", "posterize", "rotate", "solarize", "shear_x",
    "shear_y", "translate_x", "translate_y",
)  # fmt: skip
"""The paper's, without what ImageNet-C tests, and the identity, which fills up short chains."""

RANDOM_KEY = "aug_mix"


class Settings(AugmentationSettings):
    """AugMix's settings."""

    severity: Annotated[float, Field(ge=0.1, le=10)] = 3.0
    """Largest level of an operation, out of 10."""
    width: Annotated[int, Field(ge=1, le=100)] = 3
    """How many chains of operations are mixed, with random weights."""
    depth: Annotated[int, Field(ge=1, le=100)] = 3
    """Largest number of operations in a chain; each chain draws its own."""


def compute(settings: Settings, images: "tf.Tensor", random: RandomParameters) -> "tf.Tensor":
    """Mix each image with its chains: Dirichlet(1, ..., 1) weights, times Beta(1, 1) for all."""
    from imgcls.backend import tf

    chains, positions = (settings.width,), (settings.width, settings.depth)
    depths = 1 + tf.floor(random.uniform(0.0, 1.0, chains) * settings.depth)
    operations = 1 + tf.floor(random.uniform(0.0, 1.0, positions) * (len(OPERATIONS) - 1))
    choices = tf.cast(
        tf.where(depths[..., None] > tf.range(settings.depth, dtype=tf.float32), operations, 0),
        tf.int32,
    )
    levels = (
        random.uniform(0.1, settings.severity, positions)
        / 10
        * tf.sign(random.uniform(-1.0, 1.0, positions))
    )
    # Exponential numbers over their sum are Dirichlet(1, ..., 1). They are finite, since uniform
    # numbers stay below 1.
    weights = -tf.math.log1p(-random.uniform(0.0, 1.0, chains))
    weights *= random.uniform(0.0, 1.0, (1,)) / tf.maximum(
        tf.reduce_sum(weights, axis=1, keepdims=True), 1e-30
    )
    # Products of these with bytes, and sums of such products, are exact in float32: every device
    # computes the same bytes.
    weights = tf.round(weights * 2**16) / 2**16
    # Two halves run in parallel: small images, whose operations each use one core, take a tenth
    # less time.
    rows = -(-images.shape[0] // 2)
    halves = [slice(first, first + rows) for first in range(0, images.shape[0], rows)]
    return tf.concat(
        [_mix_chains(images[half], choices[half], levels[half], weights[half]) for half in halves],
        axis=0,
    )


def _mix_chains(
    images: "tf.Tensor", choices: "tf.Tensor", levels: "tf.Tensor", weights: "tf.Tensor"
) -> "tf.Tensor":
    """Return the images mixed with the results of their chains of operations.

    Args:
        images: uint8 (batch, height, width, channels).
        choices: indices into OPERATIONS, int32 (batch, chains, positions).
        levels: float32 (batch, chains, positions).
        weights: of the chains, float32 (batch, chains); the image itself gets the rest of 1.
    """
    from imgcls.augmentations._bytes import round_to_bytes
    from imgcls.augmentations._groups import apply_in_sequence
    from imgcls.augmentations._operations import Space
    from imgcls.backend import tf

    height, width = images.shape[1:3]
    space = Space(
        0.3, width / 3, height / 3, degrees=30.0, enhance=0.0, bits=(4, 4), interpolation="bilinear"
    )
    functions = [getattr(space, name) for name in OPERATIONS]
    _, count, depth = choices.shape
    choices, levels = (
        tf.reshape(tf.transpose(each, [1, 0, 2]), [-1, depth]) for each in (choices, levels)
    )
    chains = apply_in_sequence(functions, choices, tf.concat([images] * count, axis=0), levels)
    mixed = tf.cast(images, tf.float32) * (1 - tf.reduce_sum(weights, axis=1))[:, None, None, None]
    for i, chain in enumerate(tf.split(chains, count)):
        mixed += tf.cast(chain, tf.float32) * weights[:, i, None, None, None]
    return round_to_bytes(mixed)
