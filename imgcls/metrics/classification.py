"""Precision, recall, F1, specificity and support of each class, their means, and two measures of
agreement. Light zone.

A class that is never predicted has precision 0 (scikit-learn's `zero_division=0`). A class absent
from the split has support 0 and no precision, recall or F1. Macro means are over the classes
present, weighted means by support. Balanced accuracy (Brodersen et al., 2010) is the macro recall,
and weighted recall is the accuracy; they are here under the names that papers use.

Sources: Sokolova and Lapalme (2009); kappa: Cohen (1960); Matthews correlation for many classes:
Gorodkin (2004).
"""

from typing import TYPE_CHECKING

from imgcls.metrics import (
    Direction,
    MetricSettings,
    Number,
    Result,
    macro_mean,
    to_number,
    to_numbers,
)

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions

AVERAGES = (
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "macro_specificity",
    "weighted_precision",
    "weighted_recall",
    "weighted_f1",
)


class Settings(MetricSettings):
    """These measures have no settings."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """Averages in 0 to 1; kappa and Matthews in -1 to 1, where 0 is chance."""
        return dict.fromkeys(
            (*AVERAGES, "balanced_accuracy", "cohen_kappa", "matthews_correlation"), "higher"
        )


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Return the measures of each class and their means."""
    import numpy

    classes = len(predictions.classes)
    labels, predicted = predictions.labels, predictions.predicted
    support = numpy.bincount(labels, minlength=classes)
    called = numpy.bincount(predicted, minlength=classes)
    hits = numpy.bincount(labels[labels == predicted], minlength=classes)
    present = support > 0
    with numpy.errstate(divide="ignore", invalid="ignore"):
        recall = hits / support
        precision = numpy.where(called > 0, hits / called, numpy.where(present, 0.0, numpy.nan))
        precision[~present] = numpy.nan
        f1 = numpy.where(present, 2 * hits / (support + called), numpy.nan)
        specificity = (len(labels) - support - called + hits) / (len(labels) - support)
    measures = {"precision": precision, "recall": recall, "f1": f1}
    scalars = {
        f"macro_{name}": macro_mean(values, present)
        for name, values in {**measures, "specificity": specificity}.items()
    }
    for name, values in measures.items():
        scalars[f"weighted_{name}"] = float(values[present] @ support[present] / len(labels))
    scalars["balanced_accuracy"] = scalars["macro_recall"]
    scalars.update(_compute_agreement(hits.sum(), support, called))
    per_class = {
        name: to_numbers(values)
        for name, values in {**measures, "specificity": specificity}.items()
    }
    return Result(scalars, {**per_class, "support": support.tolist()})


def _compute_agreement(
    hits: int, support: "numpy.ndarray", called: "numpy.ndarray"
) -> dict[str, Number]:
    """Return Cohen's kappa and Matthews's correlation from the margins of the confusion matrix;
    None where they are 0/0.
    """
    images = float(support.sum())
    support, called = support / images, called / images
    by_chance = support @ called
    spread = (1 - support @ support) * (1 - called @ called)
    return {
        "cohen_kappa": (
            to_number(float((hits / images - by_chance) / (1 - by_chance)))
            if by_chance < 1
            else None
        ),
        "matthews_correlation": (
            to_number(float((hits / images - by_chance) / spread**0.5)) if spread > 0 else None
        ),
    }
