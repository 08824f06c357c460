"""Families: runs of one experiment that differ only in the seed, or only in the fold. Light zone.

The runs of a family by seed share one split, so that their spread is that of training alone. Those
of a family by fold share the seed; each holds out another fold.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from imgcls.config import Experiment
from imgcls.distributed.cluster import Cluster
from imgcls.errors import DataError, UserError
from imgcls.experiment_file import read_trained_experiment
from imgcls.io import files, numbered_folders
from imgcls.io.records import VersionedRecord, read_record, write_record
from imgcls.result_folder import ResultFolder
from imgcls.run import RUNS, Run

By = Literal["seed", "fold"]
PREFIX = "family-"
"""What the names of the numbered folders of families begin with."""
MAX_MEMBERS = 10_000
"""The most runs that a command makes, so that a typing error does not fill the memory."""
_SEEDS = 2**63
"""The number of seeds, from 0."""
_RESTORE = "restore it from a backup, or train a new family"


class FamilyRecord(VersionedRecord):
    """What the runs of a family differ in, and the store that they share."""

    SUBJECT: ClassVar[str] = "a family"
    FORMAT: ClassVar[int] = 1

    format: Literal[1]
    """The format of the family's own files."""
    by: By
    """What the runs differ in."""
    numbers: Annotated[list[Annotated[int, Field(ge=0, lt=_SEEDS)]], Field(min_length=1)]
    """The seed of each run, or the number of its fold, from 1."""
    fingerprint: str
    """The fingerprint of the store that all runs are trained on."""

    @model_validator(mode="after")
    def _require_different_numbers(self) -> Self:
        count = len(self.numbers)
        if len(set(self.numbers)) < count:
            raise ValueError("numbers has one of them twice")
        if self.by == "fold" and self.numbers != list(range(1, count + 1)):
            raise ValueError(f"numbers should be those of {count} folds, from 1")
        return self


@dataclass(frozen=True)
class Members:
    """What the runs of a family to train differ in.

    Attributes:
        numbers: the seed of each run, or the number of its fold, from 1; all are different.
    """

    by: By
    numbers: list[int]

    def make_experiment(self, experiment: Experiment, number: int) -> Experiment:
        """Return the experiment of a run, by its number."""
        data = experiment.data
        if self.by == "seed":
            shared = data.model_copy(update={"split_seed": experiment.split_seed})
            return experiment.model_copy(update={"seed": number, "data": shared})
        fold = data.model_copy(update={"fold": f"{number}/{len(self.numbers)}"})
        return experiment.model_copy(update={"data": fold})


@dataclass(frozen=True)
class Family(ResultFolder):
    """The folder of a family, with the paths and contents of its files."""

    @property
    def experiment_file(self) -> Path:
        """The experiment that the runs vary, with all defaults."""
        return self.folder / "experiment.yaml"

    @property
    def record_file(self) -> Path:
        """What the runs differ in; written last when a family is created."""
        return self.folder / "family.json"

    @property
    def summary_file(self) -> Path:
        """The validation results of all runs, and their spread."""
        return self.folder / "summary.json"

    def spread_file(self, split: str) -> Path:
        """The metrics of all runs on a split, and their spread."""
        return self.folder / "evaluation" / split / "spread.json"

    @cached_property
    def record(self) -> FamilyRecord:
        """What the runs differ in.

        Raises:
            DataError: family.json is damaged.
        """
        return read_record(self.record_file, FamilyRecord, _RESTORE, _RESTORE)

    @property
    def members(self) -> Members:
        """What the runs differ in; raises as `record` does."""
        return Members(self.record.by, self.record.numbers)

    @property
    def experiment(self) -> Experiment:
        """The experiment that the runs vary.

        Raises:
            DataError: experiment.yaml is damaged.
        """
        return read_trained_experiment(self.experiment_file, _RESTORE)

    @property
    def runs(self) -> list[Run]:
        """The runs, in the order of `record.numbers`; some may not exist yet."""
        return [Run(self.folder / f"{self.record.by}-{each}") for each in self.record.numbers]

    def pair_runs(self, experiment: Experiment) -> list[tuple[Run, Experiment]]:
        """Return each run, with its own variant of an experiment."""
        variants = [self.members.make_experiment(experiment, each) for each in self.record.numbers]
        return list(zip(self.runs, variants, strict=True))

    def count_finished(self) -> int:
        """Return the number of runs that are finished."""
        return sum(
            os.path.lexists(run.config_file) and run.status.status == "finished"
            for run in self.runs
        )

    def require_finished(self) -> None:
        """Check that every run is finished.

        Raises:
            DataError: some are not.
        """
        finished = self.count_finished()
        if finished < len(self.runs):
            raise DataError(
                f"{self.folder} is not finished: {finished} of {len(self.runs)} runs are; run"
                f" `{self.format_command()}` first"
            )

    def format_command(self) -> str:
        """Return the command that continues the family."""
        numbers = self.record.numbers
        option = (
            f"--seeds {','.join(map(str, numbers))}"
            if self.record.by == "seed"
            else f"--folds {len(numbers)}"
        )
        return f"imgcls train {self.experiment_file} {option} --run {self.folder}"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the family's lock, after waiting for another process that trains it."""
        with files.hold_lock(self.folder / ".lock"):
            for path in self.folder.glob(".*.tmp"):  # of a killed process
                path.unlink()
            yield


def create_family(
    experiment: Experiment, members: Members, fingerprint: str, folder: Path | None
) -> Family:
    """Create the folder of a family; or return what another process has just created there.

    Args:
        fingerprint: of the store to train on.
        folder: the folder; `runs/<experiment name>/family-<next number>` unless given.

    Raises:
        UserError: the folder has other files, or cannot be written.
    """
    with files.explain_errors(folder or RUNS):
        family = Family(folder or numbered_folders.make_next(RUNS / experiment.name, PREFIX))
        family.folder.mkdir(parents=True, exist_ok=True)
    with family.lock():
        if not is_family(family.folder):
            require_new(family.folder, experiment)
            files.write_text(family.experiment_file, experiment.to_yaml())
            record = FamilyRecord(
                format=1, by=members.by, numbers=members.numbers, fingerprint=fingerprint
            )
            write_record(family.record_file, record)
    return family


def require_new(folder: Path, experiment: Experiment) -> None:
    """Check that creating a family in a folder overwrites nothing.

    Allowed are a folder without files, and one in which the creation was interrupted: it has this
    experiment, but no family.json yet.

    Raises:
        UserError: the folder has other files, such as an experiment that somebody wrote.
    """
    if not os.path.lexists(folder):
        return
    file = Family(folder).experiment_file
    if file.is_file() and file.read_bytes() == experiment.to_yaml().encode():
        return
    if not folder.is_dir() or any(not path.name.startswith(".") for path in folder.iterdir()):
        raise UserError(f"--run {folder} exists, but is not a family; choose a new or empty folder")


def is_family(folder: Path) -> bool:
    """Return whether a folder is that of a family."""
    return os.path.lexists(Family(folder).record_file)


def find_families(name: str) -> list[Family]:
    """Return the numbered families of an experiment, oldest first."""
    folders = numbered_folders.list_numbered(RUNS / name, PREFIX)
    return [Family(folder) for folder in folders if is_family(folder)]


def require_one_process(cluster: Cluster | None) -> None:
    """Check that there is no other worker: TensorFlow connects workers once in a process.

    Raises:
        UserError: there are several.
    """
    if cluster and not cluster.is_single:
        raise UserError(
            "a family is trained by one process, but there are several workers; train each of its"
            " runs by itself, with --set seed=N --set data.split_seed=0, or --set data.fold=K/N"
        )


def parse_members(
    seeds: str | None, num_seeds: int | None, folds: int | None, experiment: Experiment
) -> Members | None:
    """Return what the runs of a family differ in, from the options of a command.

    Args:
        seeds: numbers with commas between them.
        num_seeds: the number of seeds, from that of the experiment on.
        folds: the number of folds.

    Returns:
        None if none of the options is given.

    Raises:
        UserError: several are given, or the value of one is wrong.
    """
    options = {"--seeds": seeds, "--num-seeds": num_seeds, "--folds": folds}
    given = [name for name, value in options.items() if value is not None]
    if len(given) > 1:
        raise UserError(f"{' and '.join(given)} exclude each other; give one of them")
    if seeds is not None:
        return Members("seed", _parse_seeds(seeds))
    if num_seeds is not None:
        _require_between("--num-seeds", num_seeds, 1)
        last = experiment.seed + num_seeds - 1
        if last >= _SEEDS:
            raise UserError(
                f"--num-seeds {num_seeds}: the last seed would be {last}, but seeds go up to"
                f" {_SEEDS - 1}; choose a smaller seed"
            )
        return Members("seed", list(range(experiment.seed, last + 1)))
    if folds is None:
        return None
    _require_between("--folds", folds, 2)
    for key in ("fold", "splits_file"):
        if value := getattr(experiment.data, key):
            raise UserError(f"--folds {folds}: the experiment has data.{key} {value}; leave it out")
    return Members("fold", list(range(1, folds + 1)))


def _parse_seeds(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    wrong = [word for word in words if not (word.isascii() and word.isdecimal())]
    seeds = [] if wrong else list(map(int, words))
    if wrong or max(seeds) >= _SEEDS:
        raise UserError(
            f"--seeds {text}: needs whole numbers from 0 to {_SEEDS - 1}, such as 0,1,7"
        )
    if len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds {text}: gives a seed twice; give each once")
    return seeds


def _require_between(option: str, value: int, least: int) -> None:
    if not least <= value <= MAX_MEMBERS:
        raise UserError(f"{option} {value}: needs a whole number from {least} to {MAX_MEMBERS:,}")
