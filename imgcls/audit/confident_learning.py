"""Likely label errors by confident learning (Northcutt, Jiang and Chuang, 2021, JAIR 70,
https://arxiv.org/abs/1911.00068). Light zone.

A model that did not train on an image may contradict its label. How sure it must be is measured for
each class: its threshold is the mean probability that the class gets on images labelled with it
(section 3.1). An image whose probability of another class reaches that class's threshold counts
there in the confident joint, off its diagonal: the label is suspected.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy


def compute_thresholds(probabilities: "numpy.ndarray", labels: "numpy.ndarray") -> "numpy.ndarray":
    """Return the mean probability of each class on the images labelled with it, float64 (classes,);
    infinite for a class without any.

    Args:
        probabilities: (images, classes), of models that did not train on the images; rows sum to 1.
        labels: class numbers, (images,).
    """
    import numpy

    classes = probabilities.shape[1]
    own = probabilities[numpy.arange(len(labels)), labels].astype(numpy.float64)
    counts = numpy.bincount(labels, minlength=classes)
    sums = numpy.bincount(labels, own, minlength=classes)
    return numpy.divide(sums, counts, out=numpy.full(classes, numpy.inf), where=counts > 0)


def suggest_labels(probabilities: "numpy.ndarray", labels: "numpy.ndarray") -> "numpy.ndarray":
    """Return the class that each image is counted under, int64 (images,): its label, unless that is
    suspected.

    It is the most probable of the classes that reach their thresholds (equation 1). An image whose
    label is the most probable class of all is not suspected, even if the label misses its own
    threshold while another class reaches a lower one.
    """
    import numpy

    confident = probabilities >= compute_thresholds(probabilities, labels)
    best = numpy.where(confident, probabilities, -1.0).argmax(axis=1)
    suspected = confident.any(axis=1) & (probabilities.argmax(axis=1) != labels)
    return numpy.where(suspected, best, labels)


def compute_margins(probabilities: "numpy.ndarray", labels: "numpy.ndarray") -> "numpy.ndarray":
    """Return by how much each label is more probable than the most probable other class, -1..1: the
    lowest are the likeliest errors.

    This is the normalized margin of section 3.2.
    """
    import numpy

    rows = numpy.arange(len(labels))
    others = probabilities.astype(numpy.float64)
    others[rows, labels] = -1.0
    return probabilities[rows, labels] - others.max(axis=1)
