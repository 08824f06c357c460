"""One class against the rest, by rank: shared by `roc` and `average_precision`. Light zone."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from imgcls.metrics import Result, macro_mean, to_number, to_numbers

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions

    Measure = Callable[[numpy.ndarray, numpy.ndarray], float]


def one_vs_rest(predictions: "Predictions", name: str, measure: "Measure") -> Result:
    """Measure how well each class's probability ranks its own images before all others.

    `measure` gets the sorted scores of all images and of the positive ones. Per class, it is
    undefined where no image is of the class or all are; the macro mean is over the classes where it
    is defined. Micro pools all (image, class) pairs into one ranking.
    """
    import numpy

    classes, labels = len(predictions.classes), predictions.labels
    support = numpy.bincount(labels, minlength=classes)
    values = numpy.full(classes, numpy.nan)
    for i in numpy.flatnonzero((support > 0) & (support < len(labels))):
        scores = predictions.probabilities[:, i]
        values[i] = measure(numpy.sort(scores), numpy.sort(scores[labels == i]))
    own = numpy.take_along_axis(predictions.probabilities, labels[:, None], axis=1)
    micro = measure(numpy.sort(predictions.probabilities, axis=None), numpy.sort(own, axis=None))
    return Result(
        {f"macro_{name}": macro_mean(values, support > 0), f"micro_{name}": to_number(micro)},
        {name: to_numbers(values)},
    )
