"""The result of a search as plain text. Light zone."""

import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

from imgcls.io.terminal import to_printable
from imgcls.report.tables import WIDTH, format_cell, format_pairs, format_table
from imgcls.tuning.folder import StudyFolder
from imgcls.tuning.record import StudyRecord, TrialRecord
from imgcls.tuning.results import find_first

SHOWN = 10
"""How many trials the table shows."""


def format_report(record: StudyRecord) -> str:
    """Return the report: what was tried, the best trials, and what that does not say."""
    importances = [{"key": key, "importance": each} for key, each in record.importances.items()]
    sections = [
        format_pairs(list_facts(record)),
        format_table(make_rows(record), SHOWN),
        "\n".join(list_failures(record)),
        format_table(importances),
        _wrap(describe_choice(record)),
    ]
    if record.confirmation:
        sections.append(_wrap(describe_confirmation(record)))
    return "\n\n".join(filter(None, sections)) + "\n"


def list_facts(record: StudyRecord) -> dict[str, Any]:
    """Return what was tried, and the best trial, by name."""
    folder = StudyFolder(Path(record.study))
    facts = {"study": record.study, "trials": describe_states(record), "seconds": record.seconds}
    if record.best:
        best = find_first(record)
        facts["best"] = f"trial {best.number}: {format_values(best)}"
        facts["experiment"] = str(folder.best_file)
    return {**facts, "page": str(folder.page)}


def describe_states(record: StudyRecord) -> str:
    """Return how many trials there are in each state."""
    counts = Counter(trial.state for trial in record.trials)
    wanted = "" if record.wanted is None else f" of {record.wanted:,}"
    return f"{len(record.trials):,}{wanted}: " + ", ".join(
        f"{count:,} {state}" for state, count in counts.items()
    )


def format_values(trial: TrialRecord) -> str:
    """Return the objectives of a trial on one line."""
    return ", ".join(
        f"{name} {format_cell(value)}{_format_std(trial.stds.get(name))}"
        for name, value in trial.values.items()
    )


def _format_std(std: float | None) -> str:
    return "" if std is None else f" (std {format_cell(std)})"


def format_parameters(trial: TrialRecord) -> str:
    """Return the values of a trial on one line."""
    return ", ".join(f"{key} {format_value(value)}" for key, value in trial.parameters.items())


def format_value(value: Any) -> str:
    """Return the value of a key; numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def list_failures(record: StudyRecord) -> list[str]:
    """Return a line for each kind of failure, of the first trial that failed so."""
    first: dict[str, TrialRecord] = {}
    for trial in record.trials:
        if trial.state == "failed":
            first.setdefault(trial.reason.partition(":")[0], trial)
    return [
        _wrap(f"trial {trial.number} failed: {to_printable(trial.reason)}")
        for trial in first.values()
    ]


def name_columns(record: StudyRecord) -> dict[str, str]:
    """Return the name of the column of each key: its last word, if that is enough."""
    words = [each.key.rpartition(".")[2] for each in record.space]
    taken = [*record.objective, "trial", "state", "seconds"]
    return {
        each.key: each.key if words.count(word) > 1 or word in taken else word
        for each, word in zip(record.space, words, strict=True)
    }


def make_rows(record: StudyRecord) -> list[dict[str, Any]]:
    """Return a row for each trial: the best first, then those that did not finish, by number."""
    name, goal = next(iter(record.objective.items()))
    sign = -1 if goal == "maximize" else 1

    def rank(trial: TrialRecord) -> tuple[bool, bool, float, int]:
        value = trial.values.get(name)
        is_best = trial.number in record.best
        return not is_best, value is None, 0 if value is None else sign * value, trial.number

    return [
        {
            "trial": trial.number,
            "state": trial.state if trial.is_allowed else "over a limit",
            **{each: trial.values.get(each) for each in record.objective},
            "seconds": None if trial.seconds is None else round(trial.seconds),
            **{
                column: format_value(trial.parameters[key]) if key in trial.parameters else None
                for key, column in name_columns(record).items()
            },
        }
        for trial in sorted(record.trials, key=rank)
    ]


def describe_choice(record: StudyRecord) -> str:
    """Return what the value of the best trial does not say."""
    finished = sum(trial.state == "finished" for trial in record.trials)
    if not record.best:
        return "No trial is finished that keeps the limits, so there is no best one."
    text = (
        f"The best trial was chosen on the validation split, finished trials: {finished:,}; so its"
        " value is too good on average, the more so the more were tried."
    )
    if record.confirmation:
        return text
    return f"{text} Whether it is better than the file's own values, --confirm 5 tells."


def describe_confirmation(record: StudyRecord) -> str:
    """Return what fresh seeds and the test split say of the best trial."""
    found = record.confirmation
    if found is None:
        return ""
    return (
        f"Confirmed on {len(found.seeds)} seeds that the search did not use, on the test split: the"
        f" file's own values {format_cell(found.own_accuracy)}, trial {found.trial}"
        f" {format_cell(found.best_accuracy)}. {found.sentence}"
    )


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
