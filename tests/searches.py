"""Searches that tests run with a stand-in for `imgcls train`, without TensorFlow."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments import TINY, write_experiment

from imgcls.config import Experiment
from imgcls.experiment_file import read_experiment
from imgcls.tuning.record import StudyRecord
from imgcls.verbs.tune import tune

FAKE = (sys.executable, str(Path(__file__).parent / "fake_trainer.py"))
RATE = "train.optimizer.learning_rate"
SEARCH: dict[str, Any] = {
    "space": {RATE: {"low": 1e-4, "high": 1e-1, "log": True}, "train.batch_size": [128, 256]},
    "trials": 4,
}
"""A search of two keys."""


def write_search(folder: Path, store: Path, **changes: Any) -> Path:
    """Write an experiment with a search, in which some keys of its section are changed."""
    content = {**TINY, "data": {"name": "digits", "store_dir": str(store)}}
    return write_experiment(folder, content | {"tune": {**SEARCH, **changes}})


def search(path: Path, overrides: Sequence[str] = (), **arguments: Any) -> StudyRecord:
    """Run a search with the stand-in for training."""
    arguments = {"folder": path.parent / "study", "program": FAKE, **arguments}
    return tune(read_experiment(path, list(overrides)), **arguments)


def read_search(path: Path) -> Experiment:
    """Return the experiment of a search."""
    return read_experiment(path)


def behave(**behavior: Any) -> None:
    """Say what the stand-in for training does, besides training; trials by number."""
    Path("behavior.json").write_text(json.dumps(behavior))


def list_starts() -> list[int]:
    """Return the numbers of the trials, in the order in which their trainings were started."""
    return [int(line.split()[0]) for line in Path("starts.txt").read_text().splitlines()]


def show(record: StudyRecord) -> list[dict[str, Any]]:
    """Return the trials of a study, without what differs from time to time."""
    return [trial.model_dump(exclude={"seconds"}) for trial in record.trials]
