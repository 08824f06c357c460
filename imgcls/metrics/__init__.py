"""Metrics: each file holds `Settings` (a `MetricSettings`) and `compute(settings, predictions) ->
Result`. Light zone.

To add a metric, add a file: `metrics.json`, `report.txt` and `--fail-under` use what `scalars` and
`Result` contain. The rules:

- An undefined value is `None` (JSON null), never NaN or an exception.
- A class absent from the split is included in every list, with support 0, but not in macro
  averages.
- The result does not depend on the order of the images.
- `predictions.validation` are the same model's predictions on the validation split, for what is
  chosen there. It is None if this is the evaluated split, or if there are none; what needs them is
  then undefined.
- Quantities of single images are computed through `predictions.per_image`, which bootstrap samples
  gather from instead of computing them again.
- Files whose names begin with an underscore are shared code, not metrics. numpy is imported inside
  functions.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from imgcls.errors import UserError
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

Direction = Literal["higher", "lower"]
Number = float | int | None


class MetricSettings(PartSettings):
    """The settings of every metric."""

    compared_before_temperature: ClassVar[bool] = False
    """Whether the report also has the scalars before the temperature, if the model applies one."""
    needs_validation: ClassVar[bool] = False
    """Whether the metric uses `predictions.validation`."""

    @property
    def scalars(self) -> dict[str, Direction]:
        """The names of the scalars in `Result`, each with its better direction.

        `--fail-under` takes these names.
        """
        return {}


@dataclass(frozen=True)
class Result:
    """The values of a metric, which metrics.json holds. Names are unique over all metrics.

    Attributes:
        scalars: the numbers that `Settings.scalars` names.
        per_class: one value per class in label order, by name; the columns of the report's table of
            classes.
        tables: rows as mappings with the same keys, by name; printed in the report.
        matrices: (classes, classes) counts with true classes as rows and predicted classes as
            columns, by name; not printed.
        fractions: numerator and denominator of the scalars that are fractions of images, by name,
            for Wilson's confidence intervals; 0 of 0 if undefined.
    """

    scalars: dict[str, Number] = field(default_factory=dict)
    per_class: dict[str, list[Number]] = field(default_factory=dict)
    tables: dict[str, list[dict[str, str | Number]]] = field(default_factory=dict)
    matrices: dict[str, list[list[int]]] = field(default_factory=dict)
    fractions: dict[str, tuple[int, int]] = field(default_factory=dict)


def list_directions(metrics: Iterable[MetricSettings]) -> dict[str, Direction]:
    """Return the scalars of all metrics, each with its better direction.

    Raises:
        UserError: two metrics have a scalar of the same name.
    """
    directions: dict[str, Direction] = {}
    for settings in metrics:
        duplicates = sorted(directions.keys() & settings.scalars.keys())
        if duplicates:
            raise UserError(
                f"evaluate.metrics: two metrics compute {', '.join(duplicates)}, the second is"
                f" '{settings.name}'; remove one of them"
            )
        directions.update(settings.scalars)
    return directions


def to_number(value: float) -> Number:
    """Convert a float to a JSON number; NaN, which stands for undefined, to None."""
    return None if value != value else float(value)


def to_numbers(values: "numpy.ndarray") -> list[Number]:
    """Convert an array (n,) to JSON numbers; NaN, which stands for undefined, to None."""
    return [None if value != value else value for value in values.tolist()]


def compute_macro_average(values: "numpy.ndarray", present: "numpy.ndarray") -> Number:
    """Return the mean over classes.

    Args:
        values: float64 (classes,), NaN if undefined.
        present: whether the class has images in the split, bool (classes,).

    Returns:
        The mean of defined values of present classes; None if there are none.
    """
    defined = values[present & (values == values)]
    return float(defined.mean()) if defined.size else None
