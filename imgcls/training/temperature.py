"""Temperature scaling: one number by which the model's logits are divided. Light zone.

It minimizes the log loss on the validation split (Guo et al., On calibration of modern neural
networks, 2017, section 4.2). The predicted classes stay the same.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.errors import DivergenceError
from imgcls.io.records import Record
from imgcls.train_config import Train

if TYPE_CHECKING:
    import keras
    import numpy

    from imgcls.input.batches import Examples

SIGNIFICANCE = 0.05
"""The probability of a temperature other than 1 if 1 is right: without a test, chance would change
the probabilities after a small validation split."""

_ROWS = 4096  # per block, since the logits of a large split in float64 may not fit in memory


class Calibration(Record):
    """The temperature, and its effect on the validation split."""

    temperature: Annotated[float, Field(gt=0)]
    """The logits are divided by it before the softmax."""
    images: Annotated[int, Field(ge=0)]
    """Validation images that it was fitted on."""
    log_loss_before: Annotated[float, Field(ge=0)] | None
    """Mean log loss on them at temperature 1, in nats; null without images."""
    log_loss_after: Annotated[float, Field(ge=0)] | None
    """Mean log loss on them at this temperature, in nats; null without images."""
    reason: str | None
    """Why the temperature is 1; null if it was fitted."""

    def describe(self) -> str:
        """Return what the temperature changed, or why it is 1, in a phrase."""
        if self.reason:
            return self.reason
        return (
            f"changed the log loss of {self.images:,} validation images from"
            f" {self.log_loss_before:.4f} to {self.log_loss_after:.4f}"
        )


def calibrate(model: "keras.Model", validation: "Examples", settings: Train) -> Calibration:
    """Fit the temperature of a model as `train.calibration` says.

    Args:
        model: from uint8 images to logits, as in model.keras.

    Raises:
        DivergenceError: the model's logits are not finite.
        OutOfMemoryError: a single image does not fit the device.
    """
    if settings.calibration == "none":
        return _make_neutral("train.calibration is none")
    if not len(validation):
        return _make_neutral("the validation split is empty")
    from imgcls.evaluation import inference

    logits = inference.predict_outputs(
        model, validation.reader, validation.indices, settings.batch_size
    )
    return fit_temperature(logits, validation.labels[validation.indices])


def fit_temperature(logits: "numpy.ndarray", labels: "numpy.ndarray") -> Calibration:
    """Return the temperature with the smallest mean log loss, or 1 if it gains nothing certain.

    The log loss is convex in the inverse of the temperature, so its slope has at most one root. A
    temperature is accepted if a likelihood-ratio test rejects 1 (Wilks, 1938: twice the gain in
    log-likelihood has a chi-squared distribution with 1 degree of freedom).

    Args:
        logits: float32 or float64 (images, classes), at least one image.
        labels: true class numbers, integers (images,).

    Raises:
        DivergenceError: a logit is not finite.
    """
    import numpy
    from scipy.special import chdtri

    if not numpy.isfinite(logits).all():
        raise DivergenceError(
            "the model's outputs for the validation split are not finite; train again with a lower"
            " learning rate or in float32"
        )
    before, _ = _compute_log_loss(logits, labels, 1.0)

    def keep(reason: str) -> Calibration:
        return _make_neutral(reason, len(labels), before)

    largest = logits.max(axis=1)
    if (largest == logits.min(axis=1)).all():
        return keep("every class has the same logit")
    if (largest == logits[numpy.arange(len(labels)), labels]).all():
        return keep("every validation image is classified correctly: no temperature is the best")
    if _compute_log_loss(logits, labels, 0.0)[1] >= 0:
        return keep("equal probabilities would fit the validation split at least as well")
    inverse = _find_best_inverse(logits, labels)
    after, _ = _compute_log_loss(logits, labels, inverse)
    statistic, limit = 2 * len(labels) * (before - after), float(chdtri(1, SIGNIFICANCE))
    if statistic <= limit:
        return keep(
            f"{1 / inverse:.3g} would be best for the {len(labels):,} validation images, but is not"
            f" significant (likelihood ratio statistic {statistic:.2f}, needs {limit:.2f})"
        )
    return Calibration(
        temperature=1 / inverse,
        images=len(labels),
        log_loss_before=before,
        log_loss_after=after,
        reason=None,
    )


def _make_neutral(reason: str, images: int = 0, log_loss: float | None = None) -> Calibration:
    return Calibration(
        temperature=1.0,
        images=images,
        log_loss_before=log_loss,
        log_loss_after=log_loss,
        reason=reason,
    )


def _find_best_inverse(logits: "numpy.ndarray", labels: "numpy.ndarray") -> float:
    """Return the inverse of the temperature at which the log loss has its minimum.

    The slope must be negative at 0, and an image wrong, which makes it positive at infinity.
    """
    import math

    from scipy.optimize import brentq

    def compute_slope(exponent: float) -> float:
        return _compute_log_loss(logits, labels, 2.0**exponent)[1]

    low = high = 0.0
    while compute_slope(high) < 0:
        low, high = high, high + 1
    while compute_slope(low) > 0:
        low, high = low - 1, low
    return math.exp2(brentq(compute_slope, low, high, xtol=1e-12))


def _compute_log_loss(
    logits: "numpy.ndarray", labels: "numpy.ndarray", inverse: float
) -> tuple[float, float]:
    """Return the mean log loss of `inverse * logits`, and its slope in `inverse`, in float64."""
    import numpy

    loss = slope = 0.0
    for start in range(0, len(labels), _ROWS):
        block = logits[start : start + _ROWS].astype(numpy.float64)
        margins = block - block.max(axis=1, keepdims=True)
        true = margins[numpy.arange(len(block)), labels[start : start + _ROWS]]
        weights = numpy.exp(inverse * margins)
        totals = weights.sum(axis=1)
        loss += float(((numpy.log(totals) - inverse * true) / len(labels)).sum())
        slope += float((((weights * margins).sum(axis=1) / totals - true) / len(labels)).sum())
    return loss, slope
