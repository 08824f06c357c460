"""Ranks of classes by their probability. Light zone."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy


def rank_labels(probabilities: "numpy.ndarray", labels: "numpy.ndarray") -> "numpy.ndarray":
    """Return the rank of each image's true class, 0 if it is the most probable.

    On a tie, lower class numbers count as more probable.

    Args:
        probabilities: float (images, classes).
        labels: true class numbers, int (images,).

    Returns:
        int64 (images,).
    """
    import numpy

    true_probability = numpy.take_along_axis(probabilities, labels[:, None], axis=1)
    higher = numpy.count_nonzero(probabilities > true_probability, axis=1)
    rows, columns = numpy.nonzero(probabilities == true_probability)
    ties = rows[columns < labels[rows]]
    return higher + numpy.bincount(ties, minlength=len(labels))
