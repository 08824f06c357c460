"""`imgcls doctor`: CPU against GPU, one device against two, and the cost of determinism."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.gpu._row import Row, Target, decide
from imgcls.errors import GateError
from imgcls.verbs import diagnose


def measure(target: Target, folder: Path) -> Iterator[Row]:
    """Run it with the default precision."""
    try:
        found = diagnose.diagnose()
    except GateError as error:
        found = error.result
    yield from make_rows(found)


def make_rows(found: dict[str, Any]) -> Iterator[Row]:
    """Return the rows of what `diagnose` found."""
    for each in found["comparisons"]:
        is_limited = each["limit"] is not None
        yield Row(
            f"weights of {each['between']}, {each['precision']}",
            f"differ by {each['difference']:.1e}",
            f"<= {each['limit']:g}" if is_limited else "rounding",
            decide(each["result"] == "ok") if is_limited else "-",
        )
    cost = f"{found['determinism_cost']:.2f}"
    yield Row(f"step / step without determinism, {found['precision']}", cost, "-", "-")
