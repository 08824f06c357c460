"""Augmentations: each file holds `Settings` and `compute(settings, images, draws) -> images`.

`images` is a uint8 tensor (batch, height, width, channels), and so is the result. All chance comes from `draws.uniform(low, high)` and
`draws.integers(low, high)`: one number an image and call, a pure function of (seed, step, row in the global batch). Light zone:
tensorflow is imported inside `compute`.
"""

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tensorflow as tf


class Draws(Protocol):
    """A source of random numbers for one augmentation on one batch."""

    def uniform(self, low: float, high: float) -> "tf.Tensor":
        """Return float32 (batch,), uniform in [low, high); each call is independent of the ones before."""

    def integers(self, low: int, high: int) -> "tf.Tensor":
        """Return int32 (batch,), uniform over low, ..., high - 1; each call is independent of the ones before."""
