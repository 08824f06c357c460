"""Conformal prediction sets: classes that include the true one with a wanted probability. Light
zone.

A score says how badly a class fits an image. The set of an image is the classes whose score is at
most a threshold; that is a quantile of the scores of the true classes of calibration images, here
the validation split. If these and new images are exchangeable, the true class is in the set with at
least the wanted probability, on average over images and calibration splits (Vovk et al., 2005;
Angelopoulos and Bates, 2023, section 1).

    score = AdaptiveScore(penalty=0.01, free_ranks=5)
    sets = calibrate(score, 0.9, score.score_labels(probabilities, labels))
    sets.count_classes(new_probabilities)

With each of these scores, a more probable class fits at least as well. So a set is a number of the
most probable classes; on a tie, lower class numbers count as more probable.

Sets are a function of the image alone: the scores are not randomized, so that the same image always
gets the same set. They are never empty, since an empty set tells nobody what to do: the most
probable class is always in the set. If the accuracy is above the wanted coverage, most sets are
therefore that class alone, and the coverage is above the wanted one.
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from imgcls.evaluation.chunks import divide_rows
from imgcls.evaluation.ranks import rank_labels

if TYPE_CHECKING:
    import numpy


@dataclass(frozen=True)
class LeastAmbiguousScore:
    """LAC: 1 minus the probability of the class (Sadinle et al., 2019).

    Its sets are the smallest on average, but those of hard images miss the true class more often.
    """

    def score_labels(
        self, probabilities: "numpy.ndarray", labels: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return the score of each image's true class, float64 (images,)."""
        import numpy

        true = numpy.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
        return 1 - true.astype(numpy.float64)

    def count_classes(self, probabilities: "numpy.ndarray", threshold: float) -> "numpy.ndarray":
        """Return how many classes of each image have at most this score, int64 (images,)."""
        import numpy

        counts = [
            numpy.count_nonzero(1 - probabilities[rows].astype(numpy.float64) <= threshold, axis=1)
            for rows in divide_rows(probabilities)
        ]
        return numpy.concatenate(counts)


@dataclass(frozen=True)
class AdaptiveScore:
    """APS: the total probability of all more probable classes (Romano et al., 2020); with a
    penalty, RAPS (Angelopoulos et al., 2021, section 2; u = 0 there, which is not randomized).

    The sets are those of the most probable classes whose total probability just exceeds the
    threshold, so they are larger for hard images.

    Attributes:
        penalty: added for each rank above `free_ranks`, at least 0; it makes large sets smaller.
        free_ranks: the number of the most probable classes without penalty, at least 1.
    """

    penalty: float = 0.0
    free_ranks: int = 1

    def score_labels(
        self, probabilities: "numpy.ndarray", labels: "numpy.ndarray"
    ) -> "numpy.ndarray":
        """Return the score of each image's true class, float64 (images,)."""
        import numpy

        ranks = rank_labels(probabilities, labels)[:, None]
        scores = [
            numpy.take_along_axis(self._score_ranks(probabilities[rows]), ranks[rows], axis=1)[:, 0]
            for rows in divide_rows(probabilities)
        ]
        return numpy.concatenate(scores)

    def count_classes(self, probabilities: "numpy.ndarray", threshold: float) -> "numpy.ndarray":
        """Return how many classes of each image have at most this score, int64 (images,)."""
        import numpy

        counts = [
            numpy.count_nonzero(self._score_ranks(probabilities[rows]) <= threshold, axis=1)
            for rows in divide_rows(probabilities)
        ]
        return numpy.concatenate(counts)

    def _score_ranks(self, probabilities: "numpy.ndarray") -> "numpy.ndarray":
        """Return the scores of each image's classes, from the most probable class to the least.

        Returns:
            float64 (images, classes), ascending.
        """
        import numpy

        scores = numpy.zeros(probabilities.shape)
        ordered = numpy.sort(probabilities, axis=1)[:, ::-1]
        numpy.cumsum(ordered[:, :-1], axis=1, dtype=numpy.float64, out=scores[:, 1:])
        ranks = numpy.arange(1, len(scores[0]) + 1)
        scores += self.penalty * numpy.maximum(ranks - self.free_ranks, 0)
        return scores


Score = LeastAmbiguousScore | AdaptiveScore


@dataclass(frozen=True)
class PredictionSets:
    """A score with its threshold, which make sets for new images.

    Attributes:
        coverage: the wanted one, above 0 and below 1.
        images: calibration images.
        threshold: infinite if they are too few for this coverage; a set is then all classes.
    """

    score: Score
    coverage: float
    images: int
    threshold: float

    def count_classes(self, probabilities: "numpy.ndarray") -> "numpy.ndarray":
        """Return the size of each image's set, which holds as many of the most probable classes.

        Args:
            probabilities: float (images, classes).

        Returns:
            int64 (images,), at least 1.
        """
        import numpy

        return numpy.maximum(self.score.count_classes(probabilities, self.threshold), 1)

    @property
    def expected_coverage(self) -> float:
        """The mean coverage over calibration splits of this size, if no two scores are equal.

        The coverage follows a beta distribution (Vovk, 2012).
        """
        return _compute_rank(self.images, self.coverage) / (self.images + 1)

    @property
    def coverage_std(self) -> float:
        """The standard deviation of that coverage."""
        mean = self.expected_coverage
        return math.sqrt(mean * (1 - mean) / (self.images + 2))


def calibrate(score: Score, coverage: float, label_scores: "numpy.ndarray") -> PredictionSets:
    """Find the threshold for a wanted coverage.

    It is the ceil((n + 1) * coverage)-th smallest of n scores.

    Args:
        coverage: above 0 and below 1.
        label_scores: of the true classes of calibration images, float64 (images,).
    """
    import numpy

    images, rank = len(label_scores), _compute_rank(len(label_scores), coverage)
    threshold = numpy.partition(label_scores, rank - 1)[rank - 1] if rank <= images else math.inf
    return PredictionSets(score, coverage, images, float(threshold))


def count_images_needed(coverage: float) -> int:
    """Return how many calibration images a finite threshold needs at least."""
    wanted = Fraction(str(coverage))
    return math.ceil(wanted / (1 - wanted))


def _compute_rank(images: int, coverage: float) -> int:
    """Return the rank of the threshold among the scores, from 1.

    In exact arithmetic, since 0.55 of 100 is 55, and not a little more as in floating point.
    """
    return math.ceil((images + 1) * Fraction(str(coverage)))
