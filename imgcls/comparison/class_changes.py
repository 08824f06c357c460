"""Which images, and which classes, became right or wrong. Light zone."""

from typing import TYPE_CHECKING

from imgcls.comparison import mcnemar
from imgcls.comparison.candidate import PredictedCandidate
from imgcls.comparison.record import Agreement, ClassDifference
from imgcls.metrics.accuracy import is_correct

if TYPE_CHECKING:
    import numpy


def compute_fraction_correct(predicted: PredictedCandidate) -> "numpy.ndarray":
    """Return the fraction of replicates that classify each image correctly, float64 (images,)."""
    import numpy

    return numpy.mean([each.per_image(is_correct) for each in predicted.replicates], axis=0)


def count_agreement(old: PredictedCandidate, new: PredictedCandidate) -> Agreement | None:
    """Return how often each is right where the other is not; None with several replicates, which
    do not say one thing of an image.
    """
    if len(old.replicates) > 1 or len(new.replicates) > 1:
        return None
    before, after = (each.replicates[0].per_image(is_correct) for each in (old, new))
    only_old, only_new = int((before & ~after).sum()), int((after & ~before).sum())
    p_value = mcnemar.compute_p_value(only_old, only_new)
    return Agreement(
        both_right=int((before & after).sum()),
        only_old=only_old,
        only_new=only_new,
        both_wrong=int((~before & ~after).sum()),
        p_value=p_value,
        adjusted_p_value=p_value,
    )


def compare_classes(old: PredictedCandidate, new: PredictedCandidate) -> list[ClassDifference]:
    """Return the change of each class that has images, from the largest gain of images to the
    largest loss.
    """
    import numpy

    labels, classes = old.replicates[0].labels, old.replicates[0].classes
    before, after = compute_fraction_correct(old), compute_fraction_correct(new)
    change = after - before

    def sum_by_class(values: "numpy.ndarray") -> "numpy.ndarray":
        return numpy.bincount(labels, values, minlength=len(classes))

    images = numpy.bincount(labels, minlength=len(classes))
    present = numpy.flatnonzero(images)
    gained, lost = sum_by_class(change.clip(min=0)), sum_by_class(-change.clip(max=0))
    with numpy.errstate(invalid="ignore"):
        recalls = sum_by_class(before) / images, sum_by_class(after) / images
    has_counts = len(old.replicates) == len(new.replicates) == 1
    p_values: list[float | None] = [None] * len(present)
    if has_counts:
        counts = numpy.stack([lost, gained], axis=1)[present].astype(int).tolist()
        p_values = [*mcnemar.adjust_p_values([mcnemar.compute_p_value(*pair) for pair in counts])]
    found = [
        ClassDifference(
            name=classes[label],
            images=int(images[label]),
            old=float(recalls[0][label]),
            new=float(recalls[1][label]),
            difference=float(recalls[1][label] - recalls[0][label]),
            gained=round(float(gained[label]), 6),
            lost=round(float(lost[label]), 6),
            p_value=p_value,
        )
        for label, p_value in zip(present.tolist(), p_values, strict=True)
    ]
    return sorted(found, key=lambda each: (each.lost - each.gained, -each.difference))
