"""Weights of classes in the training loss. Light zone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from imgcls.errors import UserError
from imgcls.io import terminal
from imgcls.train_config import Train

if TYPE_CHECKING:
    import numpy
    import tensorflow as tf


def compute_class_weights(
    settings: Train, classes: Sequence[str], labels: "numpy.ndarray"
) -> "numpy.ndarray | None":
    """Return the weight of each class, float64 (classes,); None without `train.class_weights`.

    Their mean over the training images is 1, so that the learning rate suits any weights. Prints a
    note with the smallest and the largest.

    Args:
        labels: of the training images, integers (images,).

    Raises:
        UserError: a weight is for a class that the data does not have.
    """
    import numpy

    given = settings.class_weights
    if given is None:
        return None
    counts = numpy.bincount(labels, minlength=len(classes))
    if given == "balanced":
        # As scikit-learn's compute_class_weight; a class without images has no part in it.
        weights = len(labels) / (numpy.count_nonzero(counts) * numpy.maximum(counts, 1))
        if settings.sampling and settings.sampling.by == "class":
            terminal.note(
                "train.class_weights and train.sampling both give rare classes more weight; one of"
                " them is usually enough"
            )
    else:
        unknown = sorted(given.keys() - set(classes))
        if unknown:
            raise UserError(
                f"train.class_weights has {terminal.format_some(unknown, 5)}, which the data does"
                f" not have; its classes are {terminal.format_some(classes, 20)}"
            )
        weights = numpy.array([given.get(name, 1.0) for name in classes])
        weights = weights * len(labels) / (weights @ counts)
    present = numpy.flatnonzero(counts)
    low, high = (present[find(weights[present])] for find in (numpy.argmin, numpy.argmax))
    terminal.note(
        f"train.class_weights: from {weights[low]:.3g} ({classes[low]}) to {weights[high]:.3g}"
        f" ({classes[high]}); their mean over the training images is 1"
    )
    return weights


def weight_rows(
    weights: "numpy.ndarray | None", labels: "tf.Tensor", dtype: "tf.DType"
) -> "tf.Tensor | float":
    """Return the weight of each row's class, (rows,); 1 without weights of classes.

    Args:
        labels: int64 (rows,), or targets float32 (rows, classes), of which the expected weight is
            taken.
    """
    from imgcls.backend import tf

    if weights is None:
        return 1.0
    of_classes = tf.constant(weights, dtype)
    if labels.dtype.is_integer:
        return tf.gather(of_classes, labels)
    # Some GPUs would round a matrix product to ten bits.
    return tf.reduce_sum(tf.cast(labels, dtype) * of_classes, axis=-1)
