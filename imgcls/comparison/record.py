"""The record in comparison.json: all results of a comparison. Light zone."""

from typing import Annotated

from pydantic import Field, JsonValue

from imgcls.comparison.conclusion import Conclusion
from imgcls.datasets import SplitName
from imgcls.evaluation.intervals import Interval
from imgcls.evaluation.spread import Spread
from imgcls.family import By
from imgcls.io.records import Record
from imgcls.metrics import Direction, Number

Probability = Annotated[float, Field(ge=0, le=1)]


class ModelProperties(Record):
    """Size and training of a model; of a family, the mean over its runs."""

    parameters: Number
    """The number of weights in model.keras; null if it cannot be read."""
    model_bytes: float
    """The size of model.keras, in bytes."""
    temperature: Number
    """The temperature by which the model divides its logits; null if it is not known."""
    epochs: float
    """The number of epochs of training."""
    selected_epoch: float
    """The epoch whose weights model.keras has."""
    seconds: float
    """The time of all epochs, in seconds."""


class ComparedCandidate(Record):
    """A run or family that is compared."""

    folder: str
    """Its folder."""
    by: By | None
    """What the runs of a family differ in; null for a run."""
    runs: list[str]
    """The folder of each run of a family, or of the run."""
    metrics: dict[str, Number]
    """The scalars on all images, by name; of a family by seed, the mean over its runs; null if
    undefined.
    """
    spreads: dict[str, Spread]
    """The spread of each scalar over the runs of a family, by name; empty for a run."""
    accuracy_interval: Interval | None
    """Wilson's interval of the accuracy, [low, high]; null for a family by seed."""
    properties: ModelProperties
    """Size and training of its model."""


class MetricDifference(Record):
    """The difference in a metric."""

    metric: str
    """The name of the scalar."""
    better: Direction
    """Whether a higher or a lower value is better."""
    old: Number
    """The first candidate's value; null if undefined."""
    new: Number
    """The other candidate's value; null if undefined."""
    difference: Number
    """new - old; null if one of them is undefined."""
    interval: Interval | None
    """The paired bootstrap interval of the difference over images, [low, high]; null if it was not
    computed, or is undefined.
    """
    interval_over_runs: Interval | None
    """The interval of the difference over seeds or folds, [low, high]; null unless both are
    families with a spread.
    """
    conclusion: Conclusion | None
    """`better` or `worse` if both intervals exclude 0; `higher` or `lower` if only that over images
    does; `identical` if the predictions are; null if the interval was not computed. A difference
    in accuracy is not shown either if McNemar's test does not show it.
    """


class Agreement(Record):
    """Which of two candidates classifies an image correctly, counted over the images."""

    both_right: int
    """Images that both classify correctly."""
    only_old: int
    """Images that only the old one classifies correctly."""
    only_new: int
    """Images that only the new one classifies correctly."""
    both_wrong: int
    """Images that neither classifies correctly."""
    p_value: Probability
    """The p-value of McNemar's exact test, two-sided."""
    adjusted_p_value: Probability
    """The p-value, adjusted by Holm's method for the number of candidates."""


class ClassDifference(Record):
    """The difference in the recall of a class."""

    name: str
    """The name of the class."""
    images: int
    """The number of its images."""
    old: float
    """The old recall, 0..1; of a family by seed, the mean."""
    new: float
    """The new recall, 0..1; of a family by seed, the mean."""
    difference: float
    """new - old."""
    gained: float
    """Images that became right; of a family by seed, in fractions of its runs."""
    lost: float
    """Images that became wrong, counted in the same way."""
    p_value: Probability | None
    """The p-value of McNemar's exact test on the class, adjusted by Holm's method for the number of
    classes; null for a family by seed.
    """


class PairComparison(Record):
    """A candidate, compared with the first one."""

    old: str
    """The folder of the first candidate."""
    new: str
    """The folder of the other candidate."""
    sentence: str
    """What may be concluded from the difference in accuracy, in words."""
    metrics: list[MetricDifference]
    """The difference in each metric; the accuracy is the first."""
    agreement: Agreement | None
    """How often each is right where the other is not; null for a family by seed."""
    classes: list[ClassDifference]
    """The classes that have images, from the largest gain to the largest loss of images."""


class SettingDifference(Record):
    """A setting, or a property of environment or data, that is not the same for all candidates."""

    key: str
    """Its name, such as `train.batch_size` or `versions.keras`."""
    values: list[JsonValue]
    """The value of each candidate; null if it has none; a list if its runs differ."""


class Comparison(Record):
    """A comparison of runs or families with the first of them."""

    split: SplitName
    """The split: train, validation or test."""
    examples: Annotated[int, Field(ge=1)]
    """The number of images."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """The confidence level of the intervals, 0..1."""
    bootstrap_samples: Annotated[int, Field(ge=1)]
    """The number of bootstrap samples for the intervals over images."""
    candidates: list[ComparedCandidate]
    """What is compared; the first is the old one."""
    comparisons: list[PairComparison]
    """Each other candidate, compared with the first."""
    settings: list[SettingDifference]
    """The settings that differ, defaults included."""
    environment: list[SettingDifference] | None
    """The versions, devices and variables that differ; null if a record of them is damaged."""
    data: list[SettingDifference]
    """The properties of the data that differ."""
    failed_gates: list[str]
    """What `--fail-if-worse` found, one sentence each."""

    @property
    def labels(self) -> list[str]:
        """A short name of each candidate: old, and new or new_1, new_2 and so on."""
        count = len(self.comparisons)
        return ["old", *(["new"] if count == 1 else [f"new_{i}" for i in range(1, count + 1)])]

    def find(self, folder: str) -> ComparedCandidate:
        """Return the candidate of a folder."""
        return next(each for each in self.candidates if each.folder == folder)
