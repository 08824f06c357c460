"""Short training runs: their experiments and data."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.epoch import write_noise
from imgcls.config import Experiment
from imgcls.experiment_file import read_experiment
from imgcls.io import terminal, yaml_file
from imgcls.io.signals import StopRequest
from imgcls.store.lookup import find_store
from imgcls.training.history import EpochLog
from imgcls.training.new_run import create_run
from imgcls.verbs.prepare import prepare

EPOCHS = 2
SMALL = {
    "data": {"name": "digits"},
    "model": {"name": "cnn", "filters": [16, 32], "dense": [64], "batch_norm": True},
    "train": {"epochs": EPOCHS, "batch_size": 128, "steps_per_execution": 4},
}
"""Digits of 8x8 in 11 steps an epoch. It has dropout and batch norm."""
AUGMENTED = ("augment=[{name: random_crop, padding: 1}, {name: random_flip}]",)


def write_experiment(folder: Path, name: str, *overrides: str, content: Any = None) -> Path:
    """Prepare the data of an experiment, and write it to `folder/name.yaml`.

    Args:
        content: SMALL unless given.
    """
    path = folder / f"{name}.yaml"
    path.write_text(yaml_file.dump({"name": name, **(content or SMALL)}), encoding="utf-8")
    store = f"data.store_dir={folder / 'data'}"
    experiment = read_experiment(path, [store, *overrides])
    path.write_text(experiment.to_yaml(), encoding="utf-8")
    with terminal.silence(), contextlib.redirect_stdout(io.StringIO()):
        prepare(experiment)
    return path


def write_noise_experiment(folder: Path, name: str, images: int, *overrides: str) -> Path:
    """Write an experiment on noise of 28x28, in batches of 128, with a network that is tiny: its
    weights are small beside a batch.
    """
    content = {
        "data": {"name": "fashion_mnist", "path": str(folder), "validation": 0.02},
        "model": {"name": "cnn", "filters": [4], "pooling": 4, "dense": [8]},
        "train": {"epochs": 3, "batch_size": 128},
    }
    if not list(folder.glob("*.gz")):
        write_noise(folder, images)
    return write_experiment(folder, name, *overrides, content=content)


@contextlib.contextmanager
def start_training(path: Path) -> Iterator[tuple[Iterator[EpochLog], Experiment]]:
    """Train an experiment in this process.

    Yields:
        An iterator that trains an epoch at a time, and the experiment.
    """
    from imgcls.training.trainer import Trainer

    experiment = read_experiment(path)
    run = create_run(experiment, path.with_suffix(""))
    trainer = Trainer(run, experiment, *find_store(experiment))
    try:
        yield trainer.train_epochs(StopRequest()), experiment
    finally:
        trainer.close()
