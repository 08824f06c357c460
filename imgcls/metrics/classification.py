"""Precision, recall, F1, specificity and support per class, averages, and agreement. Light zone.

A class that is never predicted has precision 0 (scikit-learn's `zero_division=0`). A class absent
from the split has support 0, and its precision, recall and F1 are undefined. Macro averages are
over the classes present, weighted averages by support. Balanced accuracy (Brodersen et al., 2010)
equals macro recall, and weighted recall equals accuracy; papers use both names.

Sources: Sokolova and Lapalme (2009); Cohen (1960) for kappa; Gorodkin (2004) for the Matthews
correlation of several classes.
"""

from typing import TYPE_CHECKING

from imgcls.metrics import (
    Direction,
    MetricSettings,
    Number,
    Result,
    compute_macro_average,
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
    """The classification metrics have no settings."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """Averages, 0 to 1; kappa and Matthews correlation, -1 to 1, where 0 is chance."""
        return dict.fromkeys(
            (*AVERAGES, "balanced_accuracy", "cohen_kappa", "matthews_correlation"), "higher"
        )


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute the metrics of each class, their averages, and the agreement."""
    import numpy

    classes = len(predictions.classes)
    labels, predicted = predictions.labels, predictions.predicted
    support = numpy.bincount(labels, minlength=classes)
    counts = numpy.bincount(predicted, minlength=classes)
    hits = numpy.bincount(labels[labels == predicted], minlength=classes)
    present = support > 0
    with numpy.errstate(divide="ignore", invalid="ignore"):
        recall = hits / support
        precision = numpy.where(counts > 0, hits / counts, numpy.where(present, 0.0, numpy.nan))
        precision[~present] = numpy.nan
        f1 = numpy.where(present, 2 * hits / (support + counts), numpy.nan)
        specificity = (len(labels) - support - counts + hits) / (len(labels) - support)
    measures = {"precision": precision, "recall": recall, "f1": f1}
    scalars = {
        f"macro_{name}": compute_macro_average(values, present)
        for name, values in {**measures, "specificity": specificity}.items()
    }
    for name, values in measures.items():
        scalars[f"weighted_{name}"] = float(values[present] @ support[present] / len(labels))
    scalars["balanced_accuracy"] = scalars["macro_recall"]
    scalars.update(_compute_agreement(hits.sum(), support, counts))
    per_class = {
        name: to_numbers(values)
        for name, values in {**measures, "specificity": specificity}.items()
    }
    return Result(scalars, {**per_class, "support": support.tolist()})


def _compute_agreement(
    hits: int, support: "numpy.ndarray", predicted_count: "numpy.ndarray"
) -> dict[str, Number]:
    """Compute Cohen's kappa and the Matthews correlation; None if they are 0/0.

    Args:
        hits: number of correct predictions.
        support: images of each class, int64 (classes,).
        predicted_count: images predicted as each class, int64 (classes,).
    """
    images = float(support.sum())
    support, predicted_count = support / images, predicted_count / images
    by_chance = support @ predicted_count
    spread = (1 - support @ support) * (1 - predicted_count @ predicted_count)
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
