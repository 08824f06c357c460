"""The record compression_table.json: how a compressed run differs from its original. Light zone."""

import os
from typing import Annotated, Any, Literal

from pydantic import Field

from imgcls.datasets import SplitName
from imgcls.evaluation.intervals import Interval
from imgcls.io import files
from imgcls.io.records import Record, read_record
from imgcls.run import Run

Fraction = Annotated[float, Field(ge=0, le=1)]


class ComparedSplit(Record):
    """Both models on the images of a split."""

    split: SplitName
    """The split."""
    images_from: Literal["store", "sample"]
    """Where the images are from: the store; or the sample that the run keeps, without it."""
    images: Annotated[int, Field(ge=1)]
    """The number of images."""
    original: Fraction
    """The accuracy of the original."""
    original_interval: Interval
    """Wilson's interval of it, [low, high]."""
    accuracy: Fraction
    """The accuracy of the compressed model."""
    interval: Interval
    """Wilson's interval of it, [low, high]."""
    difference: float
    """accuracy - original."""
    difference_interval: Interval | None
    """The paired bootstrap interval of the difference, [low, high]."""
    agreement: Fraction
    """Fraction of the images for which both predict the same class."""
    worst_class: str
    """The class with the lowest recall in the compressed model."""
    worst_class_recall: Fraction
    """Its recall."""
    original_worst_class_recall: Fraction
    """The lowest recall of a class in the original."""
    halved: list[str]
    """The classes whose recall is at most half of what it was."""


class ModelCost(Record):
    """What a model costs."""

    bytes: Annotated[int, Field(ge=1)]
    """Size of the model file."""
    parameters: Annotated[int, Field(ge=0)]
    """Number of weights."""
    multiply_adds: Annotated[int, Field(ge=0)]
    """Multiply-adds of convolutions and matrix products for one image."""
    milliseconds_1: Annotated[float, Field(gt=0)]
    """Latency of a batch of 1 image: the median over the rounds."""
    milliseconds_64: Annotated[float, Field(gt=0)]
    """Latency of a batch of 64 images: the median over the rounds."""
    peak_memory_mib: Annotated[float, Field(gt=0)]
    """The most memory, in MiB, of a process that does nothing but load the model in the runtime and
    predict batches of 1 and 64 images on the CPU; that of the runtime included."""


class CompressionTable(Record):
    """A compressed run beside its original."""

    run: str
    """The folder of the compressed run."""
    original: str
    """The folder of the original."""
    model_sha256: str
    """The SHA-256 of the compressed model."""
    confidence: Annotated[float, Field(gt=0, lt=1)]
    """The confidence level of the intervals, 0..1."""
    compared: Annotated[list[ComparedSplit], Field(min_length=1)]
    """The models on validation, and on test."""
    before: ModelCost
    """The original, its latency that of float32 in the same runtime as the compressed model."""
    after: ModelCost
    """The compressed model."""
    runtime: Literal["litert", "tensorflow"]
    """Where the latency was measured: LiteRT, or a compiled function of TensorFlow."""
    rounds: Annotated[int, Field(ge=1)]
    """Rounds of the measurement, in each of which both models took their turn."""
    threads: Annotated[int, Field(ge=1)]
    """The number of threads of the runtime."""
    processor: str
    """The name of the processor."""
    cpu_features: list[str]
    """Its instructions for vectors and for products of 8 bits, as Linux names them."""

    @property
    def gated(self) -> dict[str, float]:
        """What `--fail-under` takes, on the validation split."""
        first = self.compared[0]
        names = ("accuracy", "agreement", "worst_class_recall")
        return {name: getattr(first, name) for name in names}

    def make_tables(self) -> list[list[dict[str, Any]]]:
        """Return the tables of accuracies, of differences, and of costs, each as rows."""
        accuracies = [
            {
                "split": each.split,
                "model": model,
                "accuracy": accuracy,
                "wilson_interval": interval,
                "worst_class_recall": recall,
            }
            for each in self.compared
            for model, accuracy, interval, recall in (
                (
                    "original",
                    each.original,
                    each.original_interval,
                    each.original_worst_class_recall,
                ),
                ("compressed", each.accuracy, each.interval, each.worst_class_recall),
            )
        ]
        differences = [
            {
                "split": each.split,
                "difference": each.difference,
                "paired_interval": each.difference_interval,
                "agreement": each.agreement,
                "worst_class": each.worst_class,
            }
            for each in self.compared
        ]
        costs = [
            _make_cost_row(name, getattr(self.before, name), getattr(self.after, name))
            for name in ModelCost.model_fields
        ]
        return [accuracies, differences, costs]

    def list_warnings(self) -> list[str]:
        """Return what is worse than one may expect, one sentence each."""
        found = []
        for size in (1, 64):
            name = f"milliseconds_{size}"
            ratio = getattr(self.after, name) / getattr(self.before, name)
            if ratio > 1:
                found.append(f"slower: batches of {size} take {ratio:.2f} times as long")
        for each in self.compared:
            if each.halved:
                names = ", ".join(each.halved)
                found.append(f"recall at most half of what it was on {each.split}: {names}")
        return found


def find_table(run: Run) -> CompressionTable | None:
    """Return the saved table of a compressed run; None if there is none of its present model.

    Raises:
        DataError: it is damaged.
    """
    path = run.compression_table_file
    if not os.path.lexists(path):
        return None
    saved = read_record(path, CompressionTable, "remove it, and compress again")
    return saved if saved.model_sha256 == files.compute_sha256(run.model_file) else None


def _make_cost_row(name: str, before: float, after: float) -> dict[str, Any]:
    ratio = after / before if before else None
    return {"cost": name, "original": before, "compressed": after, "ratio": ratio}
