"""One-vs-rest ranking measures, shared by `roc` and `average_precision`. Light zone."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from imgcls.metrics import Result, compute_macro_average, to_number, to_numbers

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions

    Measure = Callable[[numpy.ndarray, numpy.ndarray], float]


def compute_one_vs_rest(predictions: "Predictions", name: str, measure: "Measure") -> Result:
    """Compute a ranking measure for each class against the rest, with macro and micro averages.

    The measure of a class is undefined if none or all of the images belong to it. The macro average
    is over the classes where it is defined; the micro average ranks all (image, class) pairs.

    Args:
        name: of the measure in the result.
        measure: computes it from the sorted scores of all images, float32 (images,), and those of
            the positive ones, float32 (positives,).
    """
    import numpy

    classes, labels = len(predictions.classes), predictions.labels
    support = numpy.bincount(labels, minlength=classes)
    values = numpy.full(classes, numpy.nan)
    for i in numpy.flatnonzero((support > 0) & (support < len(labels))):
        scores = predictions.probabilities[:, i]
        values[i] = measure(numpy.sort(scores), numpy.sort(scores[labels == i]))
    positive = numpy.take_along_axis(predictions.probabilities, labels[:, None], axis=1)
    micro = measure(
        numpy.sort(predictions.probabilities, axis=None), numpy.sort(positive, axis=None)
    )
    macro = compute_macro_average(values, support > 0)
    return Result(
        {f"macro_{name}": macro, f"micro_{name}": to_number(micro)}, {name: to_numbers(values)}
    )
