"""Gates on metrics: `--fail-under METRIC=VALUE`. Light zone."""

import math
from collections.abc import Mapping
from typing import Any

from imgcls import parts
from imgcls.errors import GateError, UserError
from imgcls.metrics import Direction, Number


def require_valid(gates: Mapping[str, float], directions: dict[str, Direction]) -> None:
    """Check gates before an evaluation.

    Metrics that are better when lower are rejected: a minimum would fail good models and pass bad
    ones.

    Args:
        gates: the minimum of each metric.
        directions: the scalars of the experiment's metrics, each with its better direction.

    Raises:
        UserError: the metric does not exist or is better when lower, or the minimum is not finite.
    """
    eligible = [name for name, better in directions.items() if better == "higher"]
    allowed = f"allowed: {', '.join(eligible)}"
    for metric, minimum in gates.items():
        if isinstance(minimum, bool) or not isinstance(minimum, int | float):
            raise UserError(
                f"--fail-under {metric}={minimum!r}: it is not a number; give one such as 0.9"
            )
        option = f"--fail-under {metric}={minimum:g}"
        if metric not in directions:
            raise UserError(
                f"{option}: this experiment does not compute a metric '{metric}';"
                f" {allowed}{parts.suggest(metric, eligible)}"
            )
        if metric not in eligible:
            raise UserError(
                f"{option}: {metric} is better when lower, so a minimum would fail good models and"
                f" pass bad ones; {allowed}"
            )
        if not math.isfinite(minimum):
            raise UserError(f"{option}: {minimum} is not a finite number; give one such as 0.9")


def check_gates(gates: Mapping[str, float], metrics: Mapping[str, Number], result: Any) -> None:
    """Check metrics against their minimum; a value equal to it passes.

    Args:
        result: of the error.

    Raises:
        GateError: metrics are below their minimum or undefined; the error lists all of them.
    """
    failed = []
    for metric, minimum in gates.items():
        value = metrics[metric]
        if value is None:
            failed.append(f"{metric} is undefined on this split, but should be at least {minimum}")
        elif value < minimum:
            failed.append(f"{metric} is {value}, but should be at least {minimum}")
    if failed:
        message = f"{len(failed)} of {len(gates)} gates failed: {'; '.join(failed)}"
        raise GateError(message, result)
