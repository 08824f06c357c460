"""A program that stands in for `imgcls train`: it writes a run in a moment, without TensorFlow.

The validation accuracy depends on the learning rate and the epoch alone: it is highest at 0.01. A
file `behavior.json` in the current folder says what else to do.
"""

import json
import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import yaml

STOP: list[bool] = []
"""Not empty once a signal asks to stop."""

EPOCH = {
    "loss": 1.0,
    "accuracy": 0.5,
    "train_mode_loss": 1.0,
    "eval_mode_loss": 1.0,
    "learning_rate": 0.001,
    "image_size": [8, 8],
    "frozen_layers": 0,
    "trained_parameters": 1000,
    "seconds": 0.5,
    "images_per_second": 1000.0,
    "input_wait": 0.01,
    "steps_per_execution": 16,
    "stage_seconds": dict.fromkeys(
        ("steps", "validation", "saving", "reading", "augmentation"), 0.1
    ),
}
"""What every line of the log has in common."""
DATA = {
    "dataset": "digits",
    "split": "s" * 16,
    "split_sha256": "5" * 64,
    "classes": ["a", "b"],
    "shape": [8, 8, 1],
    "sizes": {"train": 2, "validation": 2, "test": 2},
    "class_counts": {"train": [1, 1], "validation": [1, 1], "test": [1, 1]},
    "mean": [100.0],
    "std": [50.0],
}
"""What data.json of every run has in common."""


def compute_accuracy(learning_rate: float, epoch: int) -> float:
    """Return the validation accuracy after an epoch."""
    return round(0.9 - 0.1 * abs(math.log10(learning_rate) + 2) - 0.2 / epoch, 6)


def write(path: Path, text: str) -> None:
    """Replace a file."""
    temporary = path.with_suffix(f".{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


def write_status(run: Path, status: str, step: int) -> None:
    """Write status.json."""
    record = {
        "format": 5,
        "status": status,
        "step": step,
        "retries": [],
        "accumulation_steps": 1,
        "divergence": None,
        "exit_code": None,
        "reason": "",
    }
    write(run / "status.json", json.dumps(record))


def write_data(run: Path, file: Path, fingerprint: str | None) -> None:
    """Write data.json, with the fingerprint of the store unless another one is given."""
    store = Path(yaml.safe_load(file.read_text())["data"]["store_dir"])
    (manifest,) = store.glob("*/manifest.json")
    own = json.loads(manifest.read_text())["fingerprint"]
    write(run / "data.json", json.dumps(DATA | {"fingerprint": fingerprint or own}))


def list_runs(folder: Path, experiment: dict[str, Any]) -> list[tuple[Path, int]]:
    """Return the folder of each run to train, with its seed; a family is created if it is one."""
    seed = experiment["seed"]
    if not sys.argv[5:]:
        return [(folder, seed)]
    by, first = {"--num-seeds": ("seed", seed), "--folds": ("fold", 1)}[sys.argv[5]]
    numbers = list(range(first, first + int(sys.argv[6])))
    folder.mkdir(parents=True, exist_ok=True)
    record = {"format": 1, "by": by, "numbers": numbers, "fingerprint": "f" * 64}
    write(folder / "family.json", json.dumps(record))
    return [(folder / f"{by}-{number}", number) for number in numbers]


def train(run: Path, seed: int, file: Path, behavior: dict[str, Any]) -> None:
    """Train a run, or go on with it; a stop signal ends the process after an epoch."""
    experiment = yaml.safe_load(file.read_text())["train"]
    rate, epochs = float(experiment["optimizer"]["learning_rate"]), experiment["epochs"]
    run.mkdir(parents=True, exist_ok=True)
    if not (run / "config.yaml").exists():
        write(run / "config.yaml", file.read_text())
        write_data(run, file, behavior.get(file.stem, {}).get("fingerprint"))
    log = run / "log.jsonl"
    lines = log.read_text().splitlines() if log.exists() else []
    for epoch in range(len(lines) + 1, epochs + 1):
        time.sleep(behavior.get("seconds", 0.0))
        if STOP:
            write_status(run, "interrupted", len(lines))
            sys.exit(75)
        value = compute_accuracy(rate, epoch) + 0.01 * seed
        line = {"epoch": epoch, "step": epoch, "val_loss": 1 - value, "val_accuracy": value}
        lines.append(json.dumps(EPOCH | line))
        write(log, "".join(f"{each}\n" for each in lines))
        write_status(run, "running", epoch)
        if epoch == behavior.get(file.stem, {}).get("kill_after") and not (run / "killed").exists():
            (run / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    write_status(run, "finished", epochs)


def main() -> None:
    """Train, or do what behavior.json says for this trial."""
    file, folder = Path(sys.argv[2]), Path(sys.argv[4])
    path = Path("behavior.json")
    behavior = json.loads(path.read_text()) if path.exists() else {}
    own = behavior.get(file.stem, {})
    with Path("starts.txt").open("a") as starts:
        starts.write(f"{file.stem} {sorted(os.sched_getaffinity(0))}\n")
    if "exit" in own:
        sys.stderr.write(f"imgcls: {own.get('message', 'it failed on purpose')}\n")
        sys.exit(own["exit"])
    signal.signal(signal.SIGTERM, lambda *_: STOP.append(True))
    for run, seed in list_runs(folder, yaml.safe_load(file.read_text())):
        train(run, seed, file, behavior)


if __name__ == "__main__":
    main()
