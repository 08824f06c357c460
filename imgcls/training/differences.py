"""Compares a run with its reproduction, and finds the first difference. Light zone."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from imgcls import parts
from imgcls.datasets import SPLITS
from imgcls.environment import find_differences
from imgcls.errors import DataError, UserError
from imgcls.io import terminal
from imgcls.run import Run
from imgcls.training import history
from imgcls.training.history import EpochLog
from imgcls.training.model_description import read_description
from imgcls.training.model_weights import read_weights

Tolerances = Mapping[str, float]
"""The largest difference that is allowed, by quantity."""


def require_valid(tolerances: Tolerances, run: Run, epochs: int, complete: bool) -> None:
    """Check that the run has the quantities, and that their tolerances are finite numbers.

    Raises:
        UserError: they are not.
    """
    quantities = read_final_quantities(run, epochs, complete)
    known = sorted({name for values in quantities.values() for name in values})
    for name, tolerance in tolerances.items():
        option = f"--tolerance {name}={tolerance:g}"
        if name not in known:
            guess = parts.suggest(name, known)
            raise UserError(
                f"{option}: the run has no quantity '{name}'; allowed: {', '.join(known)}{guess}"
            )
        if not 0 <= tolerance < math.inf:
            raise UserError(
                f"{option}: {tolerance} is not a finite number from 0 on; give one such as 0.005"
            )


def compare_runs(
    run: Run, again: Run, tolerances: Tolerances, epochs: int, complete: bool
) -> dict[str, Any]:
    """Return what `reproduce` prints: the quantities with a tolerance, or all, are compared."""
    if tolerances:
        same = "within tolerance"
        difference = find_first_beyond(run, again, tolerances, epochs, complete)
    else:
        same = "identical"
        difference = find_first_difference(run, again, epochs, complete)
    return {
        "run": str(run.folder),
        "reproduction": str(again.folder),
        "result": "different" if difference else same,
        **_describe_scope(run, tolerances, epochs, complete),
        "difference": difference,
        "environment_changed": _find_changed_environment(run, again),
    }


def _describe_scope(
    run: Run, tolerances: Tolerances, epochs: int, complete: bool
) -> dict[str, list[str]]:
    """Return what is compared, and what is not."""
    places, length = read_final_quantities(run, epochs, complete), len(run.log)
    if tolerances:
        named = [
            f"{name} ({place})" for place in places for name in tolerances if name in places[place]
        ]
        rest = ["log", "weights", "temperature", "other results"]
        return {"compared": ["data", *named], "not_compared": rest}
    if not complete:
        which = f"epochs 1 to {epochs}" if epochs > 1 else "epoch 1"
        return {
            "compared": ["data", f"log of {which} of {length}"],
            "not_compared": ["log of later epochs", "weights", "temperature", "metrics"],
        }
    metrics = [f"metrics of the {split} split" for split in list_evaluated_splits(run)]
    whole = ["data", f"log of all {length} epochs", "weights", "temperature", *metrics]
    return {"compared": whole, "not_compared": []}


def format_difference(summary: dict[str, Any]) -> str:
    """Return the difference in what `compare_runs` returned, as a sentence."""
    changed = summary["environment_changed"]
    environment = f"; the environment changed: {'; '.join(changed)}" if changed else ""
    runs = f"{summary['reproduction']} differs from {summary['run']}"
    return f"{runs}: {summary['difference']}{environment}"


def list_evaluated_splits(run: Run) -> list[str]:
    """Return the splits that a run was evaluated on."""
    return [split for split in SPLITS if run.metrics_file(split).exists()]


def read_final_quantities(
    run: Run, epochs: int, complete: bool
) -> dict[str, dict[str, float | None]]:
    """Return the final results of a run, by where they come from.

    These are the metrics of each evaluated split, or else the log of the last compared epoch.
    """
    if complete and list_evaluated_splits(run):
        return {
            f"{split} split": run.read_evaluation(split).metrics
            for split in list_evaluated_splits(run)
        }
    row = run.log[epochs - 1]
    return {
        f"epoch {epochs}, step {row.step}": {name: getattr(row, name) for name in history.RESULTS}
    }


def find_first_beyond(
    run: Run, again: Run, tolerances: Tolerances, epochs: int, complete: bool
) -> str | None:
    """Describe the first final result that differs by more than its tolerance."""
    here = read_final_quantities(again, epochs, complete)
    for place, values in read_final_quantities(run, epochs, complete).items():
        for name, tolerance in tolerances.items():
            one, other = values.get(name), here[place].get(name)
            if one != other and (one is None or other is None or abs(one - other) > tolerance):
                return (
                    f"{place}: {name} was {one} and is {other}, which differs by more than"
                    f" {tolerance:g}"
                )
    return None


def find_first_difference(run: Run, again: Run, epochs: int, complete: bool) -> str | None:
    """Describe the first value that is not bit-identical: in the log, the model, the metrics."""
    for one, other in zip(run.log[:epochs], again.log, strict=False):
        for name in (name for name in EpochLog.model_fields if name not in history.TIMES):
            old, new = getattr(one, name), getattr(other, name)
            if old != new:
                return f"epoch {one.epoch}, step {one.step}: {name} was {old} and is {new}"
    if len(again.log) < epochs:
        return f"it stopped after epoch {len(again.log)} instead of {epochs}"
    if not complete:
        return None
    different = _find_first_different_weight(run.model_file, again.model_file)
    if different:
        return different
    old, new = (read_description(each.model_file).calibration.temperature for each in (run, again))
    if old != new:
        return f"model.keras: the temperature was {old} and is {new}"
    here = read_final_quantities(again, epochs, complete)
    for place, values in read_final_quantities(run, epochs, complete).items():
        for name, value in values.items():
            if value != here[place][name]:
                return f"{place}: {name} was {value} and is {here[place][name]}"
    return None


def _find_first_different_weight(one: Path, other: Path) -> str | None:
    import numpy

    before, after = read_weights(one), read_weights(other)
    if before.keys() != after.keys():
        return f"model.keras: other variables, such as {sorted(before.keys() ^ after.keys())[0]}"
    for name, value in before.items():
        if value.shape != after[name].shape:
            return f"model.keras: {name} had shape {value.shape} and has {after[name].shape}"
        if not numpy.array_equal(value, after[name]):
            difference = numpy.abs(value.astype(numpy.float64) - after[name]).max()
            return f"model.keras: {name} differs by up to {difference:.3g}"
    return None


def _find_changed_environment(run: Run, again: Run) -> list[str]:
    """Compare each start of the run with the reproduction."""
    try:
        last = run.environment
    except DataError as error:
        terminal.note(f"environments are not compared: {error}")
        return []
    here = again.environment.list_properties()
    starts = [start.list_properties() for start in (*last.earlier_starts, last)]
    return list(dict.fromkeys(text for there in starts for text in find_differences(there, here)))
