"""Trains, evaluates and compares runs by the command line of imgcls, and measures CPU time."""

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from imgcls.evaluation.intervals import Interval
from imgcls.io import files
from imgcls.io.records import Record, read_record, to_json
from imgcls.run import Run


class Trained(Record):
    """A run, and its accuracy on the test images."""

    task: str
    """The data set."""
    method: str
    """How it was trained."""
    number: int
    """Of the draw of its training images, or its seed."""
    images: int
    """Test images."""
    accuracy: float
    """Test accuracy, 0..1."""
    interval: Interval
    """Its bootstrap interval over the test images."""
    cpu_seconds: float
    """CPU time of `imgcls train`, from the start of the process to its end, in seconds."""
    processor: str
    """Processor model, with the number of cores that were used."""
    versions: dict[str, str]
    """Versions of the packages that can change a result."""
    command: str
    """The command that trained it."""


class Difference(Record):
    """The difference in accuracy of two runs with the same training images, new - old."""

    task: str
    """The data set."""
    old: str
    """How the one was trained."""
    new: str
    """How the other was trained."""
    number: int
    """Of the draw of their training images, or their seed."""
    difference: float
    """New - old."""
    interval: Interval
    """Its paired bootstrap interval over the test images."""


class Results(Record):
    """All that a demonstration measured."""

    trained: list[Trained]
    """The runs."""
    differences: list[Difference]
    """Their differences."""


class Measurements:
    """Results that are saved one by one, so that the same command continues.

    Args:
        file: with the results.
        folder: for the runs.
    """

    def __init__(self, file: Path, folder: Path):
        self._file = file
        self._folder = folder
        self.results = read_results(file)

    def get_folder(self, task: str, method: str, number: int) -> Path:
        """Return the folder of a run."""
        return self._folder / f"{task}-{method}-{number}"

    def train(self, task: str, method: str, number: int, arguments: Sequence[str]) -> None:
        """Train a run, unless that was done."""
        folder = self.get_folder(task, method, number)
        command = ["train", *arguments, "--run", str(folder)]
        if not _get_time_file(folder).exists():
            if folder.exists():
                sys.exit(f"{folder} was interrupted, so its time is unknown; remove it")
            times = {"cpu_seconds": run_timed(*command), "command": " ".join(["imgcls", *command])}
            files.write_text(_get_time_file(folder), json.dumps(times))

    def collect(self, task: str, method: str, number: int) -> None:
        """Record a trained run, unless that was done; evaluate it, unless `compare` has."""
        found = self.results.trained
        if any((t.task, t.method, t.number) == (task, method, number) for t in found):
            return
        folder = self.get_folder(task, method, number)
        if not Run(folder).metrics_file("test").exists():
            run("eval", str(folder))
        evaluation = Run(folder).read_evaluation("test")
        environment = Run(folder).environment
        trained = Trained(
            task=task,
            method=method,
            number=number,
            images=evaluation.examples,
            accuracy=evaluation.metrics["accuracy"],
            interval=evaluation.intervals["accuracy"],
            processor=f"{environment.cores} cores of an {environment.processor}",
            versions=environment.versions,
            **json.loads(_get_time_file(folder).read_text()),
        )
        self._save(trained=[*found, trained])

    def compare(self, task: str, old: str, new: str, number: int) -> None:
        """Compare two runs, unless that was done; that evaluates them."""
        key = (task, old, new, number)
        if any((d.task, d.old, d.new, d.number) == key for d in self.results.differences):
            return
        folders = [str(self.get_folder(task, method, number)) for method in (old, new)]
        output = self._folder / "comparisons" / f"{task}-{old}-{new}-{number}"
        comparison = run("compare", *folders, "--output", str(output))
        accuracy = comparison["comparisons"][0]["metrics"][0]
        found = Difference(
            task=task,
            old=old,
            new=new,
            number=number,
            difference=accuracy["difference"],
            interval=accuracy["interval"],
        )
        self._save(differences=[*self.results.differences, found])

    def _save(self, **changes: Any) -> None:
        self.results = self.results.model_copy(update=changes)
        files.write_text(self._file, to_json(self.results, indent=1) + "\n")


def read_results(file: Path) -> Results:
    """Return saved results; none if there is no such file.

    Raises:
        DataError: it is damaged.
    """
    if not file.exists():
        return Results(trained=[], differences=[])
    return read_record(file, Results, "restore it, or delete it to measure again")


def _get_time_file(folder: Path) -> Path:
    """Return the file beside a run with its command and CPU time."""
    return folder.with_name(f"{folder.name}.json")


def run_timed(*arguments: str) -> float:
    """Run a command of imgcls; return its CPU time and that of its processes, in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run(*arguments: str) -> Any:
    """Run a command of imgcls; return what it prints with --json. Ends this process if it fails."""
    command = [sys.executable, "-m", "imgcls.cli", *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(done.returncode)
    return json.loads(done.stdout)
