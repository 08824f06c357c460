"""Experiments and command lines that tests are written with."""

import json
from pathlib import Path
from typing import Any

import yaml

from imgcls.config import Experiment
from imgcls.experiment_file import read_experiment

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"name": "digits"},
    "model": {"name": "cnn", "filters": [4], "dense": [8]},
    "train": {"epochs": 2, "batch_size": 256, "steps_per_call": 2},
}
"""The smallest experiment that trains: 1,293 digits in 6 steps an epoch."""


def write_experiment(folder: Path, content: dict[str, Any], name: str = "experiment.yaml") -> Path:
    """Write an experiment file."""
    path = folder / name
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def experiment(folder: Path, *overrides: str) -> Experiment:
    """Return the tiny experiment with overrides such as `train.epochs=3`."""
    return read_experiment(write_experiment(folder, TINY), list(overrides))


def command(*arguments: object) -> tuple[int, str, str]:
    """Run the command line in this process; return its exit status, stdout and stderr."""
    from typer.testing import CliRunner

    from imgcls.cli.main import app

    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def json_of(*arguments: object) -> Any:
    """Run a command that must succeed with --json; return what it printed."""
    exit_status, stdout, stderr = command(*arguments, "--json")
    if exit_status:
        raise RuntimeError(f"{arguments} exited with {exit_status}: {stderr}")
    return json.loads(stdout)
