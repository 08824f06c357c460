"""Running out of memory on purpose: training must end, with smaller micro-batches."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.gpu._row import Row, Target, decide
from bench.gpu._training import write_experiment
from imgcls.run import Run

LARGE = (
    "model={name: cnn, filters: [256], dense: [32], batch_norm: false, dropout: 0.0}",
    "train.epochs=1",
    "train.steps_per_execution=2",
)
"""A batch takes 64 KiB an image behind the convolution."""


def measure(target: Target, folder: Path) -> Iterator[Row]:
    """Train with a batch that does not fit."""
    size = f"train.batch_size={target.large_batch}"
    path = write_experiment(folder, "large", *LARGE, size, *target.overrides)
    run = Run(folder / "run")
    command = [sys.executable, "-m", "imgcls.cli", "train", str(path), "--run", str(run.folder)]
    environment = {**os.environ, **target.variables}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        measured, passed = f"exit code {done.returncode}: {lines[-1]}", False
    else:
        number = run.status.accumulation_steps
        measured = f"{run.status.status}, with micro-batches of {target.large_batch // number}"
        passed = run.status.status == "finished" and number > 1
    expected = f"finished, with micro-batches of less than {target.large_batch}"
    yield Row("out of memory on purpose", measured, expected, decide(passed))
