"""Detection of likely label errors by confident learning. Light zone.

A label is suspect if a model that was not trained on the image confidently predicts another class.
The threshold of confidence differs by class: it is the mean predicted probability of the class over
the images labeled with it (Northcutt, Jiang and Chuang, 2021, JAIR 70, section 3.1,
https://arxiv.org/abs/1911.00068).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy


def compute_thresholds(probabilities: "numpy.ndarray", labels: "numpy.ndarray") -> "numpy.ndarray":
    """Compute each class's mean probability over the images labeled with it.

    Args:
        probabilities: of models that were not trained on the images, (images, classes); rows sum
            to 1.
        labels: class numbers, (images,).

    Returns:
        float64 (classes,); infinite for a class without images.
    """
    import numpy

    classes = probabilities.shape[1]
    confidence = probabilities[numpy.arange(len(labels)), labels].astype(numpy.float64)
    counts = numpy.bincount(labels, minlength=classes)
    sums = numpy.bincount(labels, confidence, minlength=classes)
    return numpy.divide(sums, counts, out=numpy.full(classes, numpy.inf), where=counts > 0)


def suggest_labels(probabilities: "numpy.ndarray", labels: "numpy.ndarray") -> "numpy.ndarray":
    """Suggest a class for each image: its label, or another class if the label is suspect.

    The suggestion is the most probable class among those that reach their thresholds (equation 1).
    A label that is the most probable class is never suspect, even if it does not reach its
    threshold while another class reaches a lower one.

    Returns:
        int64 (images,).
    """
    import numpy

    confident = probabilities >= compute_thresholds(probabilities, labels)
    best = numpy.where(confident, probabilities, -1.0).argmax(axis=1)
    suspect = confident.any(axis=1) & (probabilities.argmax(axis=1) != labels)
    return numpy.where(suspect, best, labels)


def compute_margins(probabilities: "numpy.ndarray", labels: "numpy.ndarray") -> "numpy.ndarray":
    """Compute each label's probability minus that of the most probable other class.

    This is the normalized margin of section 3.2; the lowest are the most likely errors.

    Returns:
        float64 (images,), -1 to 1.
    """
    import numpy

    rows = numpy.arange(len(labels))
    others = probabilities.astype(numpy.float64)
    others[rows, labels] = -1.0
    return probabilities[rows, labels] - others.max(axis=1)
