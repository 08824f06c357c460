"""What a search shows on stderr: a table that is updated on a terminal, else a line for each trial.
Light zone.
"""

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from imgcls.io import terminal
from imgcls.tuning import results, text_report
from imgcls.tuning.record import StudyRecord, TrialRecord
from imgcls.tuning.results import find_first
from imgcls.tuning.study import OpenStudy

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

    from imgcls.tuning.scheduler import Scheduler

REFRESH = 1.0
"""Seconds between two updates of the table."""


class Progress:
    """Shows a search while it runs, and writes study.json and best.yaml after each trial.

    Used as a context manager, since the terminal is restored at the end.
    """

    def __init__(self, opened: OpenStudy) -> None:
        self._opened = opened
        self._live = _make_live() if terminal.is_terminal() else None
        self._refreshed = 0.0
        self._started = time.monotonic()
        self._record: StudyRecord | None = None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, scheduler: "Scheduler", ended: int | None) -> None:
        """Show how far the search is.

        Args:
            ended: the number of a trial that has just ended; None while trials run.
        """
        if ended is not None or self._record is None:
            spent = self._opened.count_spent()
            self._record = results.make_record(self._opened, spent)
            results.write_results(self._opened, self._record)
        if ended is not None:
            trial = next(each for each in self._record.trials if each.number == ended)
            self._print(format_trial(trial, self._record))
        now = time.monotonic()
        if self._live and (ended is not None or now - self._refreshed > REFRESH):
            self._refreshed = now
            self._live.update(make_table(self._record, scheduler, now - self._started))
            self._live.refresh()

    def _print(self, line: str) -> None:
        if self._live:
            self._live.console.print(line, highlight=False)
        else:
            terminal.print_line(line)


def format_trial(trial: TrialRecord, record: StudyRecord) -> str:
    """Return a line about a trial that has ended."""
    result = text_report.format_values(trial) or trial.state
    took = "" if trial.seconds is None else f" in {trial.seconds:.0f} s"
    best = f"  best: trial {find_first(record).number}" if record.best else ""
    rest = trial.reason or text_report.format_parameters(trial)
    return f"trial {trial.number}: {result}{took}{best}  {rest}".rstrip()


def estimate_left(record: StudyRecord, jobs: int) -> float | None:
    """Return the seconds that are left, from the mean time of a trial; None if it is not known."""
    times = [each.seconds for each in record.trials if each.seconds is not None]
    if not times or record.wanted is None:
        return None
    left = record.wanted - sum(each.state != "running" for each in record.trials)
    return left * sum(times) / len(times) / max(jobs, 1)


def make_table(record: StudyRecord, scheduler: "Scheduler", seconds: float) -> "Table":
    """Return the table for a terminal: what is best, what runs, and how long it will take."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    left = estimate_left(record, len(scheduler.running))
    lines = {"trials": text_report.describe_states(record), "time": _format_time(seconds)}
    if left is not None:
        lines["left"] = f"about {_format_time(left)}"
    if record.best:
        best = find_first(record)
        lines["best"] = f"trial {best.number}: {text_report.format_values(best)}"
    for job in scheduler.running:
        epochs = [epoch for run in job.list_runs() for epoch in run.log]
        last = f"epoch {len(epochs)}" if epochs else "starting"
        lines[f"trial {job.number}"] = f"{last}  {_format_proposals(job.proposals)}"
    for name, text in lines.items():
        table.add_row(Text(name), Text(text))
    return table


def _format_proposals(proposals: dict[str, object]) -> str:
    return ", ".join(
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in proposals.items()
    )


def _format_time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _make_live() -> "Live":
    from rich.console import Console
    from rich.live import Live

    return Live(console=Console(stderr=True), auto_refresh=False, transient=True)
