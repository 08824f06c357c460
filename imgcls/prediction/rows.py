"""The rows of `imgcls predict`, one for each image. Light zone."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from imgcls.evaluation.conformal import PredictionSets
from imgcls.prediction.options import PredictOptions

if TYPE_CHECKING:
    import numpy

    from imgcls.prediction.inputs import Input


@dataclass(frozen=True)
class PredictionRow:
    """The prediction of an image, or why there is none.

    Attributes:
        path: of the image.
        top: the most probable classes, each with its probability.
        accepted: whether the probability reaches the threshold; None without one.
        prediction_set: the classes in it, from the most probable one on; None without sets.
        probabilities: of all classes; None unless asked for.
        error: why there is no prediction; all others are then empty.
    """

    path: str
    top: list[tuple[str, float]]
    accepted: bool | None = None
    prediction_set: list[str] | None = None
    probabilities: list[float] | None = None
    error: str | None = None


class RowMaker:
    """Makes rows of predictions, as some options ask for."""

    def __init__(self, classes: list[str], options: PredictOptions, sets: PredictionSets | None):
        self.classes = classes
        self.options = options
        self.sets = sets

    def make(self, inputs: "list[Input]", probabilities: "numpy.ndarray") -> list[PredictionRow]:
        """Return the rows of images.

        Args:
            inputs: the images, those that cannot be read among them.
            probabilities: of the others, float32 (images, classes).
        """
        made = self._make_rows([each.path for each in inputs if not each.problem], probabilities)
        return [
            PredictionRow(each.path, [], error=each.problem) if each.problem else next(made)
            for each in inputs
        ]

    def _make_rows(
        self, paths: list[str], probabilities: "numpy.ndarray"
    ) -> Iterator[PredictionRow]:
        import numpy

        # On a tie, the class of the lowest number comes first, as for argmax.
        order = numpy.argsort(-probabilities, axis=1, kind="stable")
        ordered = numpy.take_along_axis(probabilities, order, axis=1)
        sizes = self.sets.count_classes(probabilities) if self.sets and len(paths) else None
        for i, path in enumerate(paths):
            names = [self.classes[number] for number in order[i, : self.options.top_k].tolist()]
            values = list(map(shorten, ordered[i, : self.options.top_k]))
            chosen = None if sizes is None else [self.classes[n] for n in order[i, : sizes[i]]]
            threshold, everything = self.options.threshold, self.options.all_probabilities
            yield PredictionRow(
                path,
                list(zip(names, values, strict=True)),
                None if threshold is None else values[0] >= threshold,
                chosen,
                list(map(shorten, probabilities[i])) if everything else None,
            )


def shorten(probability: "numpy.float32") -> float:
    """Return the number with the fewest digits that rounds to this one in float32."""
    return float(str(probability))


def list_columns(maker: RowMaker) -> dict[str, str]:
    """Return the columns of a table of rows, each with the type of its values: `string`, `number`,
    `boolean` or `strings`, a list of them.

    The second most probable class is `class_2`, and so on. The probability of each class is
    `probability:<class>`.
    """
    options = maker.options
    columns = {"path": "string", "class": "string", "probability": "number"}
    for rank in range(2, options.top_k + 1):
        columns |= {f"class_{rank}": "string", f"probability_{rank}": "number"}
    if options.threshold is not None:
        columns["accepted"] = "boolean"
    if maker.sets:
        columns["prediction_set"] = "strings"
    if options.all_probabilities:
        columns |= {f"probability:{name}": "number" for name in maker.classes}
    return columns | {"error": "string"}


def flatten(row: PredictionRow, columns: dict[str, str]) -> dict[str, Any]:
    """Return the values of a row by column, None where there is none."""
    values: list[Any] = [value for pair in row.top for value in pair]
    values += [] if row.accepted is None else [row.accepted]
    values += [] if row.prediction_set is None else [row.prediction_set]
    values += row.probabilities or []
    if row.error:
        values = [None] * (len(columns) - 2)
    return dict(zip(columns, [row.path, *values, row.error], strict=True))


def make_object(row: PredictionRow, classes: list[str]) -> dict[str, Any]:
    """Return a row as a JSON object, with only the keys that the options ask for."""
    if row.error:
        return {"path": row.path, "error": row.error}
    (name, probability), *rest = row.top
    made: dict[str, Any] = {"path": row.path, "class": name, "probability": probability}
    if rest:
        made["top"] = [{"class": each, "probability": value} for each, value in row.top]
    if row.accepted is not None:
        made["accepted"] = row.accepted
    if row.prediction_set is not None:
        made["prediction_set"] = row.prediction_set
    if row.probabilities is not None:
        made["probabilities"] = dict(zip(classes, row.probabilities, strict=True))
    return made


def describe_sets(sets: PredictionSets, score: str) -> str:
    """Return a sentence on the calibration of prediction sets."""
    all_classes = "; they are too few, so that each set has all classes"
    return (
        f"prediction sets ({score.upper()}) with a coverage of {sets.coverage:g}, calibrated on"
        f" {sets.images:,} validation images{all_classes if math.isinf(sets.threshold) else ''}"
    )
