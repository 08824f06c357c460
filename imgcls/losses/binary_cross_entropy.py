"""Binary cross-entropy of each class against all others, by sigmoids (Beyer et al., 2020,
https://arxiv.org/abs/2006.07159; Wightman et al., 2021, https://arxiv.org/abs/2110.00476).

The saved model still gives softmax probabilities, which the temperature calibrates. Light zone:
tensorflow is imported inside the function.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import tensorflow as tf


class Settings(PartSettings):
    """The settings of the binary cross-entropy."""

    reduction: Literal["mean", "sum"] = "mean"
    """Whether the loss of an image is the mean over the classes, as in timm, or the sum."""
    target_threshold: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Targets above this become 1, and others 0, so that an image that mixes two classes belongs to
    both; Wightman et al. train with 0.2. Targets stay as they are unless given.
    """
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of each target that is spread evenly over all classes, after the threshold."""


def compute(settings: Settings, targets: "tf.Tensor", logits: "tf.Tensor") -> "tf.Tensor":
    """Return each row's binary cross-entropy in nats, over the classes by `reduction`."""
    from imgcls.backend import tf
    from imgcls.losses import _targets

    targets = _targets.make_dense(targets, logits)
    if settings.target_threshold is not None:
        targets = tf.cast(targets > settings.target_threshold, logits.dtype)
    targets = _targets.smooth(targets, settings.label_smoothing)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    reduce = tf.reduce_mean if settings.reduction == "mean" else tf.reduce_sum
    return reduce(losses, axis=-1)
