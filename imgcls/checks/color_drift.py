"""Color drift: the mean color of test or validation images differs from that of training images.

Another camera or lighting has this effect. The statistic is the standardized difference of two
means, d (Cohen, 1988, section 2.2), of the images' mean red, green or blue. Its standard error is
sqrt(1/n + 1/m + d^2 / 2(n + m)) (Hedges and Olkin, 1985, section 5.E). Drift is reported if |d| is
above the threshold by a number of standard errors, so that small splits raise no false alarm.
Images are assumed to be independent, which frames of one film are not.

Light zone.
"""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.checks import AuditedData, Finding, ReportingSettings

if TYPE_CHECKING:
    import numpy


class Settings(ReportingSettings):
    """The settings of color drift."""

    difference: Annotated[float, Field(ge=0)] = 0.2
    """Largest standardized difference that is not reported; Cohen calls 0.2 small."""
    standard_errors: Annotated[float, Field(ge=0)] = 3.0
    """The number of standard errors by which a reported difference exceeds `difference`."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the splits that differ from the training split, with their most different color."""
    means, split, found = audited.store.image_statistics["mean"], audited.split, []
    for name in ("validation", "test"):
        indices = split.get_indices(name)
        if len(indices) < 2 or len(split.train) < 2:
            continue
        differences, errors = compute_standardized_differences(means[split.train], means[indices])
        channel = int((abs(differences) - settings.standard_errors * errors).argmax())
        difference, error = differences[channel], errors[channel]
        if abs(difference) - settings.standard_errors * error > settings.difference:
            color = (
                ("red", "green", "blue")[channel] if len(set(differences.tolist())) > 1 else "gray"
            )
            message = (
                f"the mean {color} of {name} differs from train's by {difference:+.2f} ±"
                f" {error:.2f} std; up to {settings.difference:g} is allowed"
            )
            found.append(Finding(message, len(indices)))
    return found


def compute_standardized_differences(
    train: "numpy.ndarray", other: "numpy.ndarray"
) -> "tuple[numpy.ndarray, numpy.ndarray]":
    """Return d of each column of two samples (n, columns), and its standard error.

    d is 0 if neither sample varies and both are equal.
    """
    import numpy

    n, m = len(train), len(other)
    train, other = train.astype(numpy.float64), other.astype(numpy.float64)
    pooled = numpy.sqrt(
        ((n - 1) * train.var(axis=0, ddof=1) + (m - 1) * other.var(axis=0, ddof=1)) / (n + m - 2)
    )
    shift = other.mean(axis=0) - train.mean(axis=0)
    difference = shift / numpy.maximum(pooled, 1e-3)  # below 0.001 gray levels nothing varies
    return difference, numpy.sqrt(1 / n + 1 / m + difference**2 / (2 * (n + m)))
