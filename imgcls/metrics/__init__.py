"""Metrics: each file holds `Settings` (a `MetricSettings`) and `compute(settings, predictions) ->
Result`. Light zone.

To add a metric, add a file: `metrics.json`, `report.txt` and `--fail-under` follow what `scalars`
and `Result` say. The rules:

- A number that is undefined is `None` (JSON null), never NaN and never an exception.
- A class absent from the split keeps its place in every list, with support 0, and is left out of
  macro means.
- The order of the images changes nothing.
- What is computed for each image alone goes through `predictions.per_image`, so that a bootstrap
  gathers it and does not repeat it.
- Files whose name begins with an underscore are shared code, not metrics. numpy is imported inside
  functions.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from imgcls.errors import UserError
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

Direction = Literal["higher", "lower"]
Number = float | int | None


class MetricSettings(PartSettings):
    """What every metric can say before anything is computed."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The names of the numbers in `Result.scalars`, each with which way is better;
        `--fail-under` takes these names.
        """
        return {}


@dataclass(frozen=True)
class Result:
    """What a metric found; all of it goes to JSON as it is. Names are unique over all metrics.

    Attributes:
        scalars: the numbers that `Settings.scalars` names.
        per_class: by name, one number a class in label order; the columns of the report's table of
            classes.
        tables: by name, rows as mappings of the same keys; each is printed in the report.
        matrices: by name, (classes, classes) numbers, rows true and columns predicted; not printed.
    """

    scalars: dict[str, Number] = field(default_factory=dict)
    per_class: dict[str, list[Number]] = field(default_factory=dict)
    tables: dict[str, list[dict[str, str | Number]]] = field(default_factory=dict)
    matrices: dict[str, list[list[int]]] = field(default_factory=dict)


def directions(metrics: Iterable[MetricSettings]) -> dict[str, Direction]:
    """Return every number that these metrics give, with which way is better.

    Raises:
        UserError: two of the metrics give a number of the same name.
    """
    found: dict[str, Direction] = {}
    for settings in metrics:
        twice = sorted(found.keys() & settings.scalars.keys())
        if twice:
            raise UserError(
                f"evaluate.metrics: two metrics give {', '.join(twice)}, the second is"
                f" '{settings.name}'; remove one of them"
            )
        found.update(settings.scalars)
    return found


def to_number(value: float) -> Number:
    """Return a JSON number; NaN, which marks what is undefined inside numpy, becomes None."""
    return None if value != value else float(value)


def to_numbers(values: "numpy.ndarray") -> list[Number]:
    """Return one JSON number an element, NaN as None."""
    return [None if value != value else value for value in values.tolist()]


def macro_mean(values: "numpy.ndarray", present: "numpy.ndarray") -> Number:
    """Return the mean over the classes that are present (a bool a class) and defined (not NaN);
    None when there is none.
    """
    counted = values[present & (values == values)]
    return float(counted.mean()) if counted.size else None
