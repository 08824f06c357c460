"""The record in corruptions.json: accuracy and calibration under corruptions. Light zone."""

from typing import Annotated, Any

from pydantic import Field

from imgcls.corruptions import SEVERITIES
from imgcls.datasets import SplitName
from imgcls.evaluation.intervals import Interval
from imgcls.io.records import Record
from imgcls.metrics import Direction, Number

GATES: dict[str, Direction] = {"clean_accuracy": "higher", "mean_corrupted_accuracy": "higher"}
"""The numbers that `--fail-under` takes with `--corruptions`."""
CAVEAT = (
    "The mean error is not divided by that of another network, and the corruptions are imgcls's"
    " own: it is not comparable with published results on ImageNet-C or CIFAR-10-C."
)


class Condition(Record):
    """The metrics of a model on images under one corruption, or clean ones."""

    accuracy: Annotated[float, Field(ge=0, le=1)]
    """Accuracy, 0..1."""
    interval: Interval
    """Wilson's confidence interval of it, [low, high]."""
    log_loss: float
    """Mean log loss, in nats."""
    expected_calibration_error: Annotated[float, Field(ge=0, le=1)]
    """The expected calibration error, 0..1."""


class CorruptedCondition(Condition):
    """The metrics under one corruption at one severity."""

    corruption: str
    """The corruption, a file of imgcls/corruptions."""
    severity: Annotated[int, Field(ge=1, le=5)]
    """Its severity, 1..5."""


class Robustness(Record):
    """The metrics of a run under corruptions."""

    split: SplitName
    """The split: train, validation or test."""
    model: str
    """The SHA-256 of the model.keras that made the predictions."""
    images: Annotated[int, Field(ge=1)]
    """Images, the same under each corruption."""
    split_images: Annotated[int, Field(ge=1)]
    """Images of the whole split, from which they were drawn."""
    seed: Annotated[int, Field(ge=0)]
    """The seed of the corruptions, and of the choice of the images."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """The confidence level of the intervals, 0..1."""
    clean: Condition
    """The metrics on the images as they are."""
    corrupted: list[CorruptedCondition]
    """The metrics under each corruption at each severity."""
    mean_error: Annotated[float, Field(ge=0, le=1)]
    """The mean of 1 - accuracy over all of them, 0..1; not normalized."""

    @property
    def metrics(self) -> dict[str, Number]:
        """The numbers that gates take."""
        accuracies = (self.clean.accuracy, 1 - self.mean_error)
        return dict(zip(GATES, accuracies, strict=True))

    @property
    def corruptions(self) -> list[str]:
        """The names of the corruptions, in their order."""
        return list(dict.fromkeys(each.corruption for each in self.corrupted))

    def list_values(self, corruption: str, field: str) -> list[float]:
        """Return a number of a corruption at each severity."""
        found = [each for each in self.corrupted if each.corruption == corruption]
        return [getattr(each, field) for each in found]

    def make_rows(self, field: str) -> list[dict[str, Any]]:
        """Return a table of a number: a row for each corruption, a column for each severity."""
        rows = []
        for name in self.corruptions:
            values = self.list_values(name, field)
            columns = {f"severity_{i}": value for i, value in zip(SEVERITIES, values, strict=True)}
            rows.append({"corruption": name, **columns, "mean": sum(values) / len(values)})
        return rows
