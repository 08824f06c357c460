"""The processes of a trial: its training, and what measures it, one after the other. Light zone."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls.errors import DataError, Interrupted
from imgcls.family import Family, is_family
from imgcls.io import files
from imgcls.run import Run
from imgcls.tuning import objective
from imgcls.tuning.folder import StudyFolder
from imgcls.tuning.slots import Slot

if TYPE_CHECKING:
    from optuna import Trial

PYTHON = (sys.executable, "-P", "-m")
"""Runs a module; a file of the current folder, such as yaml.py, must not take the place of one."""
IMGCLS = (*PYTHON, "imgcls.cli")
"""The command line of a trial, before the words of its command."""
STOP_SECONDS = 120.0
"""How long a training may take to save its state when it is stopped."""
_SHOWN = 20_000
"""Bytes at the end of a log that are searched for the reason of a failure."""


@dataclass
class Job:
    """A trial that runs.

    Attributes:
        trial: that of Optuna.
        commands: the words of the commands that are left, the next one first.
        process: of the current command; None between two.
        reported: epochs whose values the pruner knows.
        step: of the training, when it was started last.
        interruptions: how often the current command was killed without any progress.
        is_pruned: whether it is being stopped because it is pruned.
        started: when this command took it, by `time.monotonic`.
    """

    trial: "Trial"
    slot: Slot
    folder: StudyFolder
    proposals: dict[str, Any]
    commands: list[list[str]]
    program: Sequence[str] = IMGCLS
    process: "subprocess.Popen[bytes] | None" = None
    reported: set[int] = field(default_factory=set)
    step: int = -1
    interruptions: int = 0
    is_pruned: bool = False
    started: float = field(default_factory=time.monotonic)

    @property
    def number(self) -> int:
        """The number of the trial."""
        return self.trial.number

    @property
    def run_folder(self) -> Path:
        """The run, or family of runs, of the trial."""
        return self.folder.trial_run(self.number)

    def is_locked(self) -> bool:
        """Return whether another process, such as one whose parent was killed, still trains."""
        folders = [self.run_folder, *self.run_folder.glob("*/")]
        return any(files.is_locked(each / ".lock") for each in folders)

    def start_next(self) -> None:
        """Start the next command; its messages replace those of the last one."""
        cores = "" if self.slot.cores is None else ",".join(map(str, self.slot.cores))
        command = [*self._get_program(self.commands[0]), *self.commands[0]]
        own = [*PYTHON, "imgcls.tuning.child", str(os.getpid()), cores]
        self.step = self._read_step()
        log = self.folder.trial_log(self.number)
        with files.explain_errors(log), log.open("wb") as stream:
            self.process = subprocess.Popen(
                [*own, *command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stream,
                env={**os.environ, **self.slot.variables},
                start_new_session=True,  # Ctrl-C reaches the tuner alone, which stops it once
            )

    def _get_program(self, words: Sequence[str]) -> Sequence[str]:
        is_measure = words[0] == MEASURE
        return PYTHON if is_measure else self.program

    def poll(self) -> int | None:
        """Return the exit code of the current command; None while it runs."""
        return None if self.process is None else self.process.poll()

    def has_progressed(self) -> bool:
        """Return whether the training got further since it was started last."""
        return self._read_step() > self.step

    def _read_step(self) -> int:
        try:
            return sum(run.status.step for run in self.list_runs() if run.status_file.exists())
        except DataError:
            return -1

    def list_runs(self) -> list[Run]:
        """Return the run of the trial, or the runs of its family; none before it is created."""
        if is_family(self.run_folder):
            return Family(self.run_folder).runs
        run = Run(self.run_folder)
        return [run] if run.config_file.exists() else []

    def stop(self) -> None:
        """Let the current command save its state and end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = STOP_SECONDS) -> None:
        """Wait until the current command has ended; kill it if that takes too long."""
        if self.process is None:
            return
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def read_reason(self) -> str:
        """Return the last message of the current command, on one line."""
        try:
            text = (
                self.folder.trial_log(self.number).read_bytes()[-_SHOWN:].decode(errors="replace")
            )
        except OSError:
            return "its log is missing"
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        own = [line.removeprefix("imgcls: ") for line in lines if line.startswith("imgcls: ")]
        return (own or lines or ["without a message"])[-1][:500]


MEASURE = "imgcls.tuning.measure"
"""The module that measures the model of a run, started as a program."""


def list_commands(
    folder: StudyFolder, number: int, names: Sequence[str], options: Sequence[str]
) -> list[list[str]]:
    """Return the commands of a trial.

    Args:
        names: of the objectives and limits.
        options: of `imgcls train`, for several runs.
    """
    run, file = str(folder.trial_run(number)), str(folder.trial_file(number))
    commands = [["train", file, "--run", run, *options]]
    if objective.needs_evaluation(names):
        commands.append(["eval", run, "--split", "validation"])
    if objective.needs_model(names):
        wanted = [name for name in names if name == "latency"]
        commands.append([MEASURE, run, str(folder.cost_file(number)), *wanted])
    return commands


def describe_exit(code: int) -> str:
    """Return how a process ended."""
    if code < 0:
        return f"it was killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def is_interrupted(code: int) -> bool:
    """Return whether a command ended before its end, and can be continued: by a signal."""
    return code < 0 or code == Interrupted.exit_code
