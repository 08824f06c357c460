"""Confusion matrix: images of each true class (row) per predicted class (column). Light zone.

The most confused pairs of classes are listed as well.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.metrics import MetricSettings, Result

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The confusion matrix's settings."""

    pairs: Annotated[int, Field(ge=0)] = 10
    """Most confused pairs listed, at most."""


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the confusion matrix, and its largest entries off the diagonal.

    The `fraction` of a pair is its count divided by the images of the true class, 0..1.
    """
    import numpy

    counts = count_pairs(predictions)
    mistakes = counts - numpy.diag(counts.diagonal())
    worst = numpy.argsort(-mistakes, axis=None, kind="stable")[: settings.pairs]
    pairs = []
    for true, predicted in zip(*numpy.unravel_index(worst, counts.shape), strict=True):
        count = int(mistakes[true, predicted])
        if count:
            names = {"true": predictions.classes[true], "predicted": predictions.classes[predicted]}
            pairs.append({**names, "count": count, "fraction": count / int(counts[true].sum())})
    return Result(tables={"most_confused": pairs}, matrices={"confusion": counts.tolist()})


def count_pairs(predictions: "Predictions") -> "numpy.ndarray":
    """Count the pairs of true and predicted class.

    Returns:
        int64 (classes, classes), with true classes as rows and predicted classes as columns.
    """
    import numpy

    classes = len(predictions.classes)
    cells = predictions.labels.astype(numpy.int64) * classes + predictions.predicted
    return numpy.bincount(cells, minlength=classes**2).reshape(classes, classes)
