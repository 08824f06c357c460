"""Confusion matrix: how many images of each class (row) were taken for each class (column), and the
commonest mistakes. Light zone.
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
    """How many of the most confused pairs are listed."""


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Return the matrix of counts and the most confused pairs, each with the share of its true
    class that went wrong so.
    """
    import numpy

    counts = count_pairs(predictions)
    mistakes = counts - numpy.diag(counts.diagonal())
    worst = numpy.argsort(-mistakes, axis=None, kind="stable")[: settings.pairs]
    pairs = []
    for true, predicted in zip(*numpy.unravel_index(worst, counts.shape), strict=True):
        wrong = int(mistakes[true, predicted])
        if wrong:
            names = {"true": predictions.classes[true], "predicted": predictions.classes[predicted]}
            pairs.append({**names, "count": wrong, "share": wrong / int(counts[true].sum())})
    return Result(tables={"most_confused": pairs}, matrices={"confusion": counts.tolist()})


def count_pairs(predictions: "Predictions") -> "numpy.ndarray":
    """Return the matrix: int64 (classes, classes), rows true and columns predicted; it sums to the
    number of images.
    """
    import numpy

    classes = len(predictions.classes)
    cells = predictions.labels.astype(numpy.int64) * classes + predictions.predicted
    return numpy.bincount(cells, minlength=classes**2).reshape(classes, classes)
