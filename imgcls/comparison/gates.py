"""Gates on differences: `--fail-if-worse METRIC=VALUE`. Light zone."""

import math
from collections.abc import Mapping

from imgcls import parts
from imgcls.comparison.record import Comparison, MetricDifference, PairComparison
from imgcls.errors import GateError, UserError
from imgcls.metrics import Direction


def require_valid(gates: Mapping[str, float], directions: Mapping[str, Direction]) -> None:
    """Check gates before a comparison.

    Args:
        gates: the largest loss allowed of each metric.
        directions: the scalars of the comparison.

    Raises:
        UserError: the metric does not exist, or the loss is not a finite number from 0 on.
    """
    for metric, loss in gates.items():
        if isinstance(loss, bool) or not isinstance(loss, int | float):
            raise UserError(
                f"--fail-if-worse {metric}={loss!r}: it is not a number; give one such as 0.002"
            )
        option = f"--fail-if-worse {metric}={loss:g}"
        if metric not in directions:
            raise UserError(
                f"{option}: the first run does not compute a metric '{metric}'; allowed:"
                f" {', '.join(directions)}{parts.suggest(metric, directions)}"
            )
        if not 0 <= loss < math.inf:
            raise UserError(
                f"{option}: {loss} is not a finite number from 0 on; give the largest loss that is"
                " allowed, such as 0.002"
            )


def find_failed(gates: Mapping[str, float], comparison: Comparison) -> Comparison:
    """Return the comparison with the gates that failed: those of which the interval over images
    lies wholly beyond the largest loss, and those that are undefined.
    """
    failed = [
        problem
        for pair in comparison.comparisons
        for difference in pair.metrics
        if difference.metric in gates
        and (problem := _find_problem(difference, gates[difference.metric], pair))
    ]
    return comparison.model_copy(update={"failed_gates": failed})


def _find_problem(found: MetricDifference, loss: float, pair: PairComparison) -> str:
    if found.interval is None:
        return f"{pair.new}: the difference in {found.metric} is undefined"
    low, high = found.interval
    fails = high < -loss if found.better == "higher" else low > loss
    if not fails:
        return ""
    change = "lost" if found.better == "higher" else "gained"
    return (
        f"{pair.new}: {found.metric} {change} {abs(found.difference or 0):.4g} (confidence interval"
        f" [{low:.4g}, {high:.4g}]), but at most {loss:g} is allowed"
    )


def check_gates(gates: Mapping[str, float], comparison: Comparison) -> None:
    """Check the result of a comparison.

    Raises:
        GateError: a gate failed; the error lists all, and its `result` is the comparison.
    """
    if failed := comparison.failed_gates:
        count = len(gates) * len(comparison.comparisons)
        message = f"{len(failed)} of {count} gates failed: {'; '.join(failed)}"
        raise GateError(message, comparison)
