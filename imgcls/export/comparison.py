"""How an artifact's predictions differ from those of its model. Heavy zone."""

from typing import Any

import numpy

from imgcls.errors import GateError
from imgcls.export.record import (
    LEAST_AGREEMENT,
    ArtifactPrecision,
    ClassRecall,
    ExportComparison,
    list_limits,
)


def measure_difference(before: numpy.ndarray, after: numpy.ndarray) -> dict[str, float]:
    """Return the agreement of the predicted classes, and the largest difference.

    Args:
        before: probabilities, float32 (images, classes).
        after: others of the same images.
    """
    same = before.argmax(axis=1) == after.argmax(axis=1)
    return {
        "agreement": float(same.mean()),
        "largest_difference": find_largest(before.astype(numpy.float64) - after),
    }


def measure_sums(probabilities: numpy.ndarray) -> float:
    """Return the largest difference between 1 and the sum of a row of (images, classes)."""
    return find_largest(probabilities.sum(axis=1, dtype=numpy.float64) - 1)


def find_largest(differences: numpy.ndarray) -> float:
    """Return the largest absolute value; what is not a number counts as 1."""
    return float(numpy.nan_to_num(numpy.abs(differences), nan=1.0, posinf=1.0).max())


def compare_recall(
    before: numpy.ndarray, after: numpy.ndarray, labels: numpy.ndarray, classes: list[str]
) -> list[ClassRecall]:
    """Return the recall of each class, in label order.

    Args:
        before: probabilities of the model, float32 (images, classes).
        after: those of the artifact.
        labels: true class numbers, int32 (images,).
    """
    counts = numpy.bincount(labels, minlength=len(classes)).tolist()
    right = [
        numpy.bincount(labels[each.argmax(axis=1) == labels], minlength=len(classes)).tolist()
        for each in (before, after)
    ]
    return [
        ClassRecall(
            name=name,
            images=count,
            before=old / count if count else None,
            after=new / count if count else None,
        )
        for name, count, old, new in zip(classes, counts, *right, strict=True)
    ]


def find_failures(fields: dict[str, Any], precision: ArtifactPrecision) -> list[str]:
    """Return a sentence for each limit that the numbers of a comparison do not keep."""
    failed = []
    if fields["agreement"] < LEAST_AGREEMENT:
        failed.append(
            f"the predicted classes agree on {fields['agreement']:.4f} of the images, but should on"
            f" at least {LEAST_AGREEMENT}"
        )
    failed += [
        f"{name} is {fields[name]:.3g}, but should be at most {limit:g}"
        for name, limit in list_limits(precision).items()
        if fields[name] > limit
    ]
    return failed


def require_same(comparison: ExportComparison) -> None:
    """Check that an artifact predicts what its model does.

    Raises:
        GateError: it does not; its result is the comparison.
    """
    if comparison.failed:
        raise GateError(
            f"{comparison.folder} was not written: the artifact does not predict what model.keras"
            f" does: {'; '.join(comparison.failed)}",
            comparison,
        )
