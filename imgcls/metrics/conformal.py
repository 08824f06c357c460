"""Conformal prediction sets: how often they include the true class, and their mean size.

Light zone. The thresholds of three kinds of sets, LAC, APS and RAPS
(imgcls/evaluation/conformal.py), are chosen on the validation split for a wanted coverage; coverage
and size are measured on the evaluated split. The coverage is the fraction of images whose set
includes the true class, 0 to 1; the size is in classes, at least 1. Undefined on the validation
split itself.

The validation split has also selected the epoch and the temperature, so its images are not quite
exchangeable with new ones: a coverage slightly below the wanted one is possible.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from imgcls.evaluation import conformal
from imgcls.metrics import Direction, MetricSettings, Number, Result
from imgcls.metrics.top_k import compute_rank

if TYPE_CHECKING:
    import numpy

    from imgcls.evaluation.predictions import Predictions


class Settings(MetricSettings):
    """The settings of conformal prediction sets."""

    needs_validation: ClassVar[bool] = True

    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.9
    """The wanted coverage."""
    raps_penalty: Annotated[float, Field(ge=0)] = 0.01
    """RAPS: added to the score for each rank above `raps_free_ranks`."""
    raps_free_ranks: Annotated[int, Field(ge=1)] = 5
    """RAPS: the number of the most probable classes without penalty."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """Coverage and mean size of each kind of sets."""
        directions: dict[str, Direction] = {}
        for name in self.scores:
            directions |= {f"{name}_coverage": "higher", f"{name}_set_size": "lower"}
        return directions

    @property
    def scores(self) -> dict[str, conformal.Score]:
        """The score of each kind of sets."""
        return {
            "lac": conformal.LeastAmbiguousScore(),
            "aps": conformal.AdaptiveScore(),
            "raps": conformal.AdaptiveScore(self.raps_penalty, self.raps_free_ranks),
        }


def compute(settings: Settings, predictions: "Predictions") -> Result:
    """Compute coverage and mean size, and a table of how the sets were calibrated."""
    validation = predictions.validation
    if validation is None:
        fractions = {f"{name}_coverage": (0, 0) for name in settings.scores}
        return Result(
            dict.fromkeys(settings.scalars), tables={"conformal": []}, fractions=fractions
        )
    scalars: dict[str, Number] = {}
    fractions, rows = {}, []
    for name, score in settings.scores.items():
        label_scores = validation.per_image(_LabelScores(score))
        sets = conformal.calibrate(score, settings.coverage, label_scores)
        sizes = predictions.per_image(_SetSizes(sets))
        covered = int((predictions.per_image(compute_rank) < sizes).sum())
        scalars[f"{name}_coverage"] = covered / len(sizes)
        scalars[f"{name}_set_size"] = float(sizes.mean())
        fractions[f"{name}_coverage"] = (covered, len(sizes))
        rows.append(_describe(name, sets))
    return Result(scalars, tables={"conformal": rows}, fractions=fractions)


def _describe(name: str, sets: conformal.PredictionSets) -> dict[str, str | Number]:
    needed = f"{conformal.count_images_needed(sets.coverage):,} images needed"
    return {
        "sets": name,
        "wanted_coverage": sets.coverage,
        "validation_images": sets.images,
        "threshold": sets.threshold if math.isfinite(sets.threshold) else f"infinite: {needed}",
        "expected_coverage": sets.expected_coverage,
        "expected_std": sets.coverage_std,
    }


@dataclass(frozen=True)
class _LabelScores:
    """The scores of true classes, as a quantity of each image."""

    score: conformal.Score

    def __call__(self, predictions: "Predictions") -> "numpy.ndarray":
        return self.score.score_labels(predictions.probabilities, predictions.labels)


@dataclass(frozen=True)
class _SetSizes:
    """The sizes of sets, as a quantity of each image."""

    sets: conformal.PredictionSets

    def __call__(self, predictions: "Predictions") -> "numpy.ndarray":
        return self.sets.count_classes(predictions.probabilities)
