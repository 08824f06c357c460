"""Softmax cross-entropy, with optional label smoothing (Szegedy et al., 2016, section 7,
https://arxiv.org/abs/1512.00567).

Light zone: tensorflow is imported inside the function.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import tensorflow as tf


class Settings(PartSettings):
    """The settings of the cross-entropy."""

    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of each target that is spread evenly over all classes; 0 spreads nothing."""


def compute(settings: Settings, targets: "tf.Tensor", logits: "tf.Tensor") -> "tf.Tensor":
    """Return each row's cross-entropy in nats."""
    from imgcls.backend import tf
    from imgcls.losses import _targets

    if targets.dtype.is_integer and not settings.label_smoothing:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)
    targets = _targets.smooth(_targets.make_dense(targets, logits), settings.label_smoothing)
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)
