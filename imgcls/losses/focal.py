"""Focal loss: cross-entropy that is small for examples which the model already gets right (Lin et
al., 2017, section 3.2, https://arxiv.org/abs/1708.02002), over the softmax of several classes.

Light zone: tensorflow is imported inside the function.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import tensorflow as tf


class Settings(PartSettings):
    """The settings of the focal loss."""

    gamma: Annotated[float, Field(ge=0)] = 2.0
    """Exponent of 1 - p, by which the cross-entropy of a class of probability p is multiplied; 0
    for the cross-entropy itself.
    """
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of each target that is spread evenly over all classes; 0 spreads nothing."""


def compute(settings: Settings, targets: "tf.Tensor", logits: "tf.Tensor") -> "tf.Tensor":
    """Return each row's focal loss in nats: the sum over classes of -t (1 - p)^gamma log p."""
    import numpy

    from imgcls.backend import tf
    from imgcls.losses import _targets

    targets = _targets.smooth(_targets.make_dense(targets, logits), settings.label_smoothing)
    log_probabilities = tf.nn.log_softmax(logits)
    # 1 - exp(...) would be 0 for p close to 1. The slope of a power at 0 may be infinite.
    smallest = float(numpy.finfo(logits.dtype.as_numpy_dtype).tiny)
    others = tf.maximum(-tf.math.expm1(log_probabilities), smallest)
    return -tf.reduce_sum(targets * others**settings.gamma * log_probabilities, axis=-1)
