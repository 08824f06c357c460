"""`make chaos`: kill training with SIGKILL at random moments, some while a checkpoint is written,
and compare with a run left alone.

Prints a row for each kind of training, and exits with 1 if any weight, log entry or choice of model
differs. A short version is among the tests.
"""

import contextlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from experiments import TINY, log_without_times, write_experiment

from imgcls.run import Run

SGD = {"name": "sgd", "learning_rate": 0.3}
KINDS: dict[str, dict[str, Any]] = {
    "float32": {},
    "mixed_float16": {"precision": "mixed_float16"},
    "mirrored": {"strategy": {"name": "mirrored", "replicas": 2}},
    "averaged weights": {"ema": {"decay": 0.9}},
    "early stopping": {"early_stopping": {"patience": 4}, "optimizer": SGD},
    "plateau": {"plateau": {"patience": 2, "factor": 0.5}, "optimizer": SGD},
}
LONGEST = 0.8
"""Seconds of training after which a kill at a random moment comes at the latest."""


def experiment_of(kind: str, folder: Path, epochs: int) -> Path:
    """Write the experiment of a kind of training: augmentation, batch norm and dropout, and a
    checkpoint every five steps.
    """
    content = {
        **TINY,
        "data": {"name": "digits", "store_dir": str(folder / "data")},
        "augment": [{"name": "random_crop", "padding": 1}],
    }
    content["model"] = {"name": "cnn", "filters": [8], "dense": [512], "batch_norm": True}
    content["train"] = {
        "epochs": epochs,
        "batch_size": 64,
        "steps_per_execution": 3,
        "checkpoint": "5 steps",
        **KINDS[kind],
    }
    return write_experiment(folder, content, f"{kind.replace(' ', '_')}.yaml")


def start(path: Path, folder: Path) -> subprocess.Popen:
    """Start a training process."""
    command = [sys.executable, "-m", "imgcls.cli", "train", str(path), "--run", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(path: Path, folder: Path) -> None:
    """Train to the end."""
    process = start(path, folder)
    _, stderr = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{folder} ended with {process.returncode}: {stderr}")


def kill_once(
    path: Path, folder: Path, wait: Callable[[subprocess.Popen, Run], None]
) -> tuple[bool, bool]:
    """Start training, and kill it when `wait` returns; return whether it still ran, and whether it
    was writing a checkpoint.
    """
    process, run = start(path, folder), Run(folder)
    earlier = set(run.state_files())
    while process.poll() is None and not set(run.state_files()) - earlier:
        time.sleep(0.001)  # wait until this process has saved once itself
    wait(process, run)
    process.kill()
    process.communicate()
    return process.returncode == -9, bool(half_written(run))


def until_it_writes(process: subprocess.Popen, run: Run) -> None:
    """Wait until a checkpoint is being written."""
    while process.poll() is None and not half_written(run):
        pass


def for_a_while(process: subprocess.Popen, run: Run) -> None:
    """Wait until a random moment."""
    time.sleep(random.uniform(0, LONGEST))


def half_written(run: Run) -> list[Path]:
    """Return the files that a process is writing in the checkpoint folder, or was when it was
    killed.
    """
    with contextlib.suppress(FileNotFoundError):
        return list(run.checkpoint_folder.glob(".*.tmp"))
    return []


def difference(one: Run, other: Run) -> str:
    """Return the first thing in which two finished runs differ, or an empty text."""
    if log_without_times(one) != log_without_times(other):
        return "the log"
    if one.model_file.read_bytes() != other.model_file.read_bytes():
        return "the weights of the chosen model"
    return ""


def torment(kind: str, folder: Path, kills: int, epochs: int) -> tuple[int, int, str]:
    """Train once in peace and once with kills; return the kills, those in the middle of a write,
    and the difference.
    """
    path, whole, killed = (
        experiment_of(kind, folder, epochs),
        folder / f"{kind} whole",
        folder / f"{kind} killed",
    )
    finish(path, whole)
    done = partial = 0
    for attempt in range(4 * kills):
        if done >= kills and partial:
            break
        ran, writing = kill_once(path, killed, until_it_writes if attempt % 2 else for_a_while)
        done, partial = done + ran, partial + (ran and writing)
    finish(path, killed)
    return done, partial, difference(Run(whole), Run(killed))


def main() -> None:
    """Torment every kind of training; two at a time."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(2) as pool:
        folder = Path(temporary)
        path = experiment_of("float32", folder, 1)
        subprocess.run(
            [sys.executable, "-m", "imgcls.cli", "prepare", str(path)],
            check=True,
            capture_output=True,
        )
        results = dict(
            zip(KINDS, pool.map(lambda kind: torment(kind, folder, kills, 60), KINDS), strict=True)
        )
    print(f"{'training':<18}  {'kill -9':>7}  {'in a write':>10}  result")
    for kind, (done, partial, different) in results.items():
        print(
            f"{kind:<18}  {done:>7}  {partial:>10} "
            f" {f'{different} differs' if different else 'bit-identical'}"
        )
    sys.exit(
        any(
            different or done < kills or not partial
            for done, partial, different in results.values()
        )
    )


if __name__ == "__main__":
    main()
