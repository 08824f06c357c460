"""The records in weights.json and linear_probe.json: what a run started from. Light zone."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from imgcls.io.records import Record, read_record

MAX_NAMES = 4
"""Tensors that a line names; of more, it states their number and the first."""

ChosenOn = Literal["validation", "folds of groups", "stratified folds"]
Status = Literal["loaded", "partly loaded", "new", "unused"]


class TensorRow(Record):
    """What became of a tensor of the model, or of the source."""

    tensor: str
    """Layer and variable of the model; for an unused tensor, its name in the source."""
    shape: list[int]
    """Its shape in the model; for an unused tensor, in the source."""
    status: Status
    """`loaded`; `partly loaded`, the last dense layer if only some classes were found; `new`, with
    random values; or `unused`, if the model does not have it.
    """
    source: str | None
    """Its name in the source; null if it is new."""
    reason: str
    """Why it is not simply loaded, or how it was changed; else empty."""


class ClassRow(Record):
    """What became of the row of a class in the last dense layer."""

    name: str
    """The class."""
    source: str | None
    """The class of the source whose row it has; null if it is new."""


class InitialWeights(Record):
    """The weights that a run started from, and what became of each tensor."""

    weights: str
    """`model.weights` of the experiment."""
    source: str
    """The file, or the package with its version."""
    sha256: str
    """SHA-256 of the file; of the arrays, if Keras downloaded it."""
    notes: list[str]
    """What differs between the images that the weights were trained on and these."""
    tensors: list[TensorRow]
    """All tensors of the model, then those of the source that were not used."""
    classes: list[ClassRow]
    """The rows of the last dense layer; empty if it is new."""

    def format_lines(self) -> Iterator[str]:
        """Yield a summary: counts, and what is not simply loaded."""
        numbers = Counter(row.status for row in self.tensors)
        counts = [f"{numbers[status]} {status}" for status in get_args(Status) if numbers[status]]
        yield f"weights: {self.source}: tensors: {', '.join(counts)}"
        groups: dict[tuple[str, str], list[str]] = {}
        for row in self.tensors:
            if row.status != "loaded" or row.reason:
                shape = "x".join(map(str, row.shape)) or "scalar"
                groups.setdefault((row.status, row.reason), []).append(f"{row.tensor} ({shape})")
        for (status, reason), names in groups.items():
            number = f"{len(names)}, such as " if len(names) > MAX_NAMES else ""
            shown = ", ".join(names[: MAX_NAMES if not number else 1])
            yield f"weights: {status}: {number}{shown}{f': {reason}' if reason else ''}"
        if self.classes:
            yield f"weights: classes: {', '.join(map(_format_class, self.classes))}"


def read_initial_weights(path: Path) -> InitialWeights | None:
    """Return the record in weights.json; None if the run started from random weights.

    Raises:
        DataError: it is damaged.
    """
    if not os.path.lexists(path):
        return None
    return read_record(path, InitialWeights, "restore it from a backup, or train a new run")


def _format_class(row: ClassRow) -> str:
    if row.source is None:
        return f"{row.name} (new)"
    return row.name if row.source == row.name else f"{row.name} (from {row.source})"


class LinearProbe(Record):
    """How the last dense layer was fitted before training."""

    images: int
    """Training images that it was fitted on."""
    features: int
    """Numbers that enter the layer for each image."""
    chosen_on: ChosenOn
    """The images on which the strength was chosen: the validation split, or those that each fold of
    the training images held out."""
    strengths: list[float]
    """The strengths of the L2 penalty that were tried, relative to the mean loss of standardized
    features."""
    log_losses: list[float]
    """The mean log loss with each of them, in nats."""
    strength: float
    """The strength that was chosen, with the lowest log loss."""
    train_accuracy: float | None
    """Accuracy on the training images, 0..1."""
    train_log_loss: float | None
    """Mean log loss on them, in nats."""
    val_accuracy: float | None
    """Accuracy on the validation split, 0..1; null if that is empty."""
    val_log_loss: float | None
    """Mean log loss on it, in nats; null if it is empty."""
    seconds: float
    """The time of computing the features, and of fitting the layer, in seconds."""

    def format_line(self) -> str:
        """Return a line that says what was chosen, and how good it is."""
        validation = (
            ""
            if self.val_accuracy is None
            else f"  val_loss {self.val_log_loss:.4f}  val_accuracy {self.val_accuracy:.4f}"
        )
        return (
            f"linear probe  strength {self.strength:.2g} (chosen on {self.chosen_on})  loss"
            f" {self.train_log_loss:.4f}  accuracy {self.train_accuracy:.4f}{validation} "
            f" {self.seconds:.1f} s"
        )
