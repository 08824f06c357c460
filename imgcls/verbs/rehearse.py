"""The verb `rehearse`: what `train` does instead of training a run. Light zone.

Mistakes are reported before TensorFlow is imported, as by `train`.
"""

import os
from typing import Any

from imgcls.config import Experiment
from imgcls.errors import GateError
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.rehearsal import learning_rate_test, options, plot
from imgcls.rehearsal.options import Rehearsal
from imgcls.report.tables import format_pairs, format_table
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import resume
from imgcls.training.precision import require_consistent
from imgcls.verbs import train


def rehearse(rehearsal: Rehearsal, experiment: Experiment) -> dict[str, Any]:
    """Find a learning rate, overfit some images, or try all that a training does.

    Returns:
        What the command prints.

    Raises:
        GateError: the model cannot fit the images of `overfit`; the error's `result` is what would
            have been returned.
        UserError: the experiment does not suit the data, the devices, or one process.
        DataError: the data is not prepared, or changed meanwhile.
        DivergenceError: a loss, gradient or weight is not finite.
        OutOfMemoryError: one image, or the model, does not fit the device.
    """
    strategy = experiment.train.strategy
    options.require_one_process(rehearsal, strategy.spans_processes, strategy.name)
    require_consistent(experiment.train.precision, os.environ)
    store, split = resume.open_data(experiment, None, None)
    kinds = {"find_learning_rate": _find_learning_rate, "overfit": _overfit, "dry_run": _dry_run}
    with store.change_detector.guard():
        result = kinds[rehearsal.kind](rehearsal, experiment, store, split)
    result = {"rehearsal": rehearsal.kind, **result}
    if problem := result.pop("problem", None):
        raise GateError(problem, result)
    return result


def _find_learning_rate(
    rehearsal: Rehearsal, experiment: Experiment, store: Store, split: Split
) -> dict[str, Any]:
    from imgcls.rehearsal import range_test

    test = range_test.run(experiment, store, split)
    if test.suggested is None:
        terminal.note("the training loss never falls, so that no learning rate is suggested")
    store.change_detector.require_unchanged()
    folder = learning_rate_test.create_folder(experiment.name)
    write_record(folder.record_file, test)
    plot.write_plot(test, folder.figure_file)
    return {
        **test.model_dump(),
        "record": str(folder.record_file),
        "figure": str(folder.figure_file),
        "next": learning_rate_test.format_command(test, rehearsal.arguments),
    }


def _overfit(
    rehearsal: Rehearsal, experiment: Experiment, store: Store, split: Split
) -> dict[str, Any]:
    from imgcls.rehearsal import overfit

    found = overfit.run(experiment, store, split, rehearsal.images or 0)
    return {**found, "problem": overfit.explain_failure(found)}


def _dry_run(
    rehearsal: Rehearsal, experiment: Experiment, store: Store, split: Split
) -> dict[str, Any]:
    train.require_validation(experiment, split)
    from imgcls.rehearsal import dry_run

    found = dry_run.run(experiment, store, split)
    return {**found, "next": f"imgcls train {rehearsal.arguments}"}


def format_report(result: dict[str, Any]) -> str:
    """Format the result of a rehearsal as text, with the command to run next on a line of its own.

    The losses of a learning-rate range test are a table.
    """
    hidden = {"rehearsal", "next", *learning_rate_test.STEP_FIELDS}
    pairs = _flatten({name: value for name, value in result.items() if name not in hidden})
    sections = [format_pairs(pairs)]
    if result["rehearsal"] == "find_learning_rate":
        sections.insert(0, format_table(learning_rate_test.make_rows(result)))
    if result.get("next"):
        sections.append(f"next: {result['next']}")
    return "\n\n".join(sections)


def _flatten(values: dict[str, Any]) -> dict[str, Any]:
    """Return a mapping without mappings inside: their keys follow those that they are at."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= {f"{name} {key}": each for key, each in value.items()}
        else:
            found[name] = value
    return found
