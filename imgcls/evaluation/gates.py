"""Gates on metrics, the least values that pass: `--fail-under METRIC=VALUE`. Light zone."""

import math
from collections.abc import Mapping

from imgcls import parts
from imgcls.errors import GateError, UserError
from imgcls.evaluation.summary import Evaluation
from imgcls.metrics import Direction


def require_valid(gates: Mapping[str, float], directions: dict[str, Direction]) -> None:
    """Refuse gates that cannot be checked, before any work is done.

    `directions` names the metrics that will be there. A metric that is better when lower is
    refused, since such a gate would stop good models and pass bad ones.

    Raises:
        UserError: there is no such metric, or its value is not a finite number.
    """
    gateable = [name for name, better in directions.items() if better == "higher"]
    allowed = f"allowed: {', '.join(gateable)}"
    for metric, minimum in gates.items():
        option = f"--fail-under {metric}={minimum:g}"
        if metric not in directions:
            raise UserError(
                f"{option}: no metric of this experiment is called '{metric}';"
                f" {allowed}{parts.suggest(metric, gateable)}"
            )
        if metric not in gateable:
            raise UserError(
                f"{option}: {metric} is better when lower, so this would fail good models and pass"
                f" bad ones; {allowed}"
            )
        if not math.isfinite(minimum):
            raise UserError(f"{option}: {minimum} is not a finite number; give one such as 0.9")


def check_gates(gates: Mapping[str, float], evaluation: Evaluation) -> None:
    """Compare each gate with its metric's value; the value itself passes.

    Raises:
        GateError: a value is below its minimum, or undefined; the message names every gate that
            failed, and `result` is the evaluation.
    """
    failed = []
    for metric, minimum in gates.items():
        value = evaluation.metrics[metric]
        if value is None:
            failed.append(f"{metric} is undefined on this split, but should be at least {minimum}")
        elif value < minimum:
            failed.append(f"{metric} is {value}, but should be at least {minimum}")
    if failed:
        message = f"{len(failed)} of {len(gates)} gates failed: {'; '.join(failed)}"
        raise GateError(message, evaluation)
