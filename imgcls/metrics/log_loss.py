"""Log loss: the mean of -ln(probability of the true class), in nats (Good, 1952). Light zone.

Probabilities are clipped to [e, 1 - e] with e = 2^-23, the float32 epsilon, as in scikit-learn.
Range 0 to 15.94, lower is better; a uniform prediction gets ln(classes).
"""

from typing import TYPE_CHECKING, ClassVar

from imgcls.metrics import Direction, MetricSettings, Result

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions

EPSILON = 2.0**-23


class Settings(MetricSettings):
    """Log loss has no settings."""

    compared_before_temperature: ClassVar[bool] = True

    @property
    def scalars(self) -> dict[str, Direction]:
        """The log loss."""
        return {"log_loss": "lower"}


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the log loss."""
    return Result({"log_loss": float(predictions.per_image(compute_log_loss).mean())})


def compute_log_loss(predictions: "Predictions") -> "numpy.ndarray":
    """Return each image's log loss, in nats: float64 (images,)."""
    import numpy

    return -numpy.log(predictions.per_image(get_true_probability).clip(EPSILON, 1 - EPSILON))


def get_true_probability(predictions: "Predictions") -> "numpy.ndarray":
    """Return the predicted probability of each image's true class, float64 (images,)."""
    import numpy

    return numpy.take_along_axis(predictions.probabilities, predictions.labels[:, None], axis=1)[
        :, 0
    ].astype(numpy.float64)
