"""Gates on metrics: `--fail-under METRIC=VALUE`. Light zone."""

from dataclasses import dataclass

from imgcls import name_value, parts
from imgcls.errors import GateError, UserError
from imgcls.metrics import Direction, Number


@dataclass(frozen=True)
class Gate:
    """A metric and the least value that passes; the value itself passes."""

    metric: str
    minimum: float


def parse_gates(texts: list[str], directions: dict[str, Direction]) -> list[Gate]:
    """Read gates of the form METRIC=VALUE, before any work is done.

    `directions` names the metrics that will be there. A metric that is better when lower is
    refused, since such a gate would stop good models and pass bad ones.

    Raises:
        UserError: the form, the metric or the value is wrong.
    """
    return [_parse_gate(text, directions) for text in texts]


def _parse_gate(text: str, known: dict[str, Direction]) -> Gate:
    gateable = [name for name, better in known.items() if better == "higher"]
    allowed = f"allowed: {', '.join(gateable)}"
    metric, minimum = name_value.parse_number(
        "--fail-under", text, f"METRIC=VALUE, such as accuracy=0.9; {allowed}"
    )
    if metric not in known:
        guess = parts.suggest(metric, gateable)
        raise UserError(
            f"--fail-under {text}: no metric of this experiment is called '{metric}';"
            f" {allowed}{guess}"
        )
    if metric not in gateable:
        raise UserError(
            f"--fail-under {text}: {metric} is better when lower, so this would fail good models"
            f" and pass bad ones; {allowed}"
        )
    return Gate(metric, minimum)


def check_gates(gates: list[Gate], values: dict[str, Number]) -> None:
    """Compare each gate with its metric's value.

    Raises:
        GateError: a value is below its minimum, or undefined; the message names every gate that
            failed.
    """
    failed = []
    for gate in gates:
        value = values[gate.metric]
        if value is None:
            failed.append(
                f"{gate.metric} is undefined on this split, but should be at least {gate.minimum}"
            )
        elif value < gate.minimum:
            failed.append(f"{gate.metric} is {value}, but should be at least {gate.minimum}")
    if failed:
        raise GateError(f"{len(failed)} of {len(gates)} gates failed: " + "; ".join(failed))
