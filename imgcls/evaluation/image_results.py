"""The results of every image as CSV and JSON lines, for FiftyOne, cleanlab and spreadsheets. Light
zone.
"""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from imgcls.datasets import SplitName
from imgcls.evaluation.chunks import divide_rows
from imgcls.evaluation.predictions import Predictions
from imgcls.io import files
from imgcls.io.records import Record
from imgcls.result_folder import ResultFolder

if TYPE_CHECKING:
    import numpy

MAX_CLASSES = 100
"""The largest number of classes for which every probability is written; predictions.npz has those
of more classes, in a tenth of the bytes."""
TOP = 5
"""Classes with a probability in a JSON object, if there are more than `MAX_CLASSES`."""


class ImageResult(Record):
    """A line of images.jsonl; the columns of images.csv are the same, but for `probabilities`."""

    filepath: str
    """The image's id: in data sets of files, its path below the folder of the data set."""
    label: str
    """The true class."""
    label_number: int
    """The number of the true class, from 0: the column of its probability."""
    predicted: str
    """The most probable class; the first one on a tie."""
    confidence: float
    """Its probability, 0..1."""
    correct: bool
    """Whether the most probable class is the true one."""
    self_confidence: float
    """The probability of the true class, 0..1: cleanlab's self-confidence."""
    probabilities: dict[str, float]
    """The probability of each class in label order; of more than 100 classes, of the 5 most
    probable ones. In CSV, columns named `probability_<class>`; none for more than 100 classes."""


def write_image_results(folder: ResultFolder, split: SplitName, found: Predictions) -> None:
    """Write the results of every image of a split, as images.csv and images.jsonl.

    Memory does not grow with the number of images.

    Raises:
        UserError: a file cannot be written.
    """
    with files.replace_file(folder.image_results_file(split, "jsonl")) as stream:
        for results in _make_results(found):
            lines = [f"{json.dumps(each.model_dump(), allow_nan=False)}\n" for each in results]
            stream.write("".join(lines).encode())
    with_probabilities = len(found.classes) <= MAX_CLASSES
    with files.replace_file(folder.image_results_file(split, "csv")) as stream:
        names = [name for name in ImageResult.model_fields if name != "probabilities"]
        columns = [f"probability_{name}" for name in found.classes] if with_probabilities else []
        stream.write(_format_csv([[*names, *columns]]))
        for results in _make_results(found):
            rows = [list(each.model_dump().values()) for each in results]
            stream.write(
                _format_csv(
                    [*row[:-1], *(row[-1].values() if with_probabilities else ())] for row in rows
                )
            )


def _format_csv(rows: "Iterator[list[object]] | Sequence[Sequence[object]]") -> bytes:
    """Return rows as CSV; bytes of file names that are not UTF-8 stay as they are."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")


def _make_results(found: Predictions) -> Iterator[list[ImageResult]]:
    """Yield the results of some images at a time."""
    for rows in divide_rows(found.probabilities):
        probabilities = found.probabilities[rows]
        columns = (
            found.ids[rows],
            found.labels[rows].tolist(),
            found.predicted[rows].tolist(),
            probabilities,
        )
        yield [_make_result(*values, found.classes) for values in zip(*columns, strict=True)]


def _make_result(
    name: str, label: int, predicted: int, probabilities: "numpy.ndarray", classes: list[str]
) -> ImageResult:
    shown: Sequence[int] = range(len(classes))
    if len(classes) > MAX_CLASSES:
        shown = (-probabilities).argsort(kind="stable")[:TOP].tolist()
    # Nine digits are enough to read the same float32 again.
    numbers = {i: float(f"{probabilities[i]:.9g}") for i in {*shown, label, predicted}}
    return ImageResult(
        filepath=name,
        label=classes[label],
        label_number=label,
        predicted=classes[predicted],
        confidence=numbers[predicted],
        correct=label == predicted,
        self_confidence=numbers[label],
        probabilities={classes[i]: numbers[i] for i in shown},
    )
