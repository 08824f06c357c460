"""Training processes that train an epoch each time they are told to, so that several ways of
training can be timed in turns. Light zone.

`probe` starts one; `imgcls doctor` and the benchmarks do. The process is `python -m
imgcls.training.probe EXPERIMENT FOLDER [WORKERS RANK]`: the line `epoch` trains one and is answered
with its log entry; any other line is a path, to which the weights are written. The end of the input
ends it.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from imgcls.distributed.cluster import SINGLE_PROCESS, Cluster, read_cluster
from imgcls.errors import UserError
from imgcls.experiment_file import read_experiment
from imgcls.io.signals import StopRequest
from imgcls.run import create_run
from imgcls.store.lookup import find_store

SHARING = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
"""Several probes live at once: none may take a GPU's whole memory, as TensorFlow does by itself."""


@contextlib.contextmanager
def start_probe(
    experiment: Path, folder: Path, *workers: str | int, variables: dict[str, str] | None = None
) -> Iterator[Callable[[str], Any]]:
    """Start a probe, which ends with the block; yield the function that sends it a line and returns
    its answer.

    Args:
        folder: of its run; must be new.
        workers: `host:port,...` and the rank, where it is one of several.
        variables: environment variables that it gets besides this process's.

    Raises:
        UserError: the process ended; its last words are the message.
    """
    arguments = map(str, (experiment, folder, *workers))
    command = [sys.executable, "-m", "imgcls.training.probe", *arguments]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **SHARING, **(variables or {})},
        )

        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None  # both are pipes
        assert stdout is not None

        def tell(line: str) -> Any:
            """Send a line; return its answer, a JSON value, or raise `UserError` if it ended."""
            with contextlib.suppress(BrokenPipeError):
                stdin.write(line + "\n")
                stdin.flush()
            answer = stdout.readline()
            if not answer:
                process.wait()
                errors.seek(0)
                words = errors.read().strip().splitlines() or [f"exit code {process.returncode}"]
                raise UserError(f"a training process for {experiment.stem} ended: {words[-1]}")
            return json.loads(answer)

        try:
            yield tell
        finally:
            process.kill()
            process.communicate()


def serve(path: Path, folder: Path, cluster: Cluster) -> None:
    """Do what the lines of stdin say, and answer each with a line on stdout."""
    import numpy

    from imgcls.training.trainer import Trainer

    experiment = read_experiment(path)
    trainer = Trainer(create_run(experiment, folder), experiment, *find_store(experiment), cluster)
    epochs = trainer.epochs(StopRequest())
    for line in map(str.strip, sys.stdin):
        if line == "epoch":
            answer: Any = next(epochs).model_dump()
        else:
            numpy.savez(line, *trainer.model.get_weights())
            answer = line
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    place, where, *workers = sys.argv[1:]
    serve(
        Path(place),
        Path(where),
        read_cluster(workers[0], int(workers[1]), {}) if workers else SINGLE_PROCESS,
    )
