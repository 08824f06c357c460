"""Processes that train one epoch per request, for timing. Light zone.

`imgcls doctor` and the benchmarks start several and let them train in turns, so that other load on
the machine affects all of them equally.

The process is `python -m imgcls.training.process EXPERIMENT FOLDER [WORKERS RANK]`. It reads
requests from stdin, one a line, and answers each with a line of JSON on stdout. `epoch` trains an
epoch and returns its log entry; any other line is a path, to which the weights are written. The
process ends at the end of its input.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls.distributed.cluster import SINGLE_PROCESS, Cluster, read_cluster
from imgcls.errors import UserError
from imgcls.experiment_file import read_experiment
from imgcls.io.signals import StopRequest
from imgcls.store.lookup import find_store
from imgcls.training.new_run import create_run

if TYPE_CHECKING:
    import numpy

GPU_MEMORY = "train.gpu_memory=growth"
"""By default, TensorFlow would allocate all of a GPU's memory for the first of these processes."""


@contextlib.contextmanager
def start_process(
    experiment: Path, folder: Path, *workers: str | int, variables: dict[str, str] | None = None
) -> Iterator[Callable[[str], Any]]:
    """Start a training process that ends with the block.

    Args:
        folder: run folder; must not exist.
        workers: `host:port,...` and the rank, for one of several workers.
        variables: environment variables, in addition to those of this process.

    Yields: a function that sends a request and returns the answer.

    Raises:
        UserError: the process ended; the message is the last line that it printed to stderr.
    """
    arguments = map(str, (experiment, folder, *workers))
    command = [sys.executable, "-P", "-m", "imgcls.training.process", *arguments]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(variables or {})},
        )

        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None  # both are pipes
        assert stdout is not None

        def send(request: str) -> Any:
            """Send a request; return the answer, a JSON value, or raise `UserError` at its end."""
            with contextlib.suppress(BrokenPipeError):
                stdin.write(request + "\n")
                stdin.flush()
            answer = stdout.readline()
            if not answer:
                process.wait()
                errors.seek(0)
                lines = errors.read().strip().splitlines() or [f"exit code {process.returncode}"]
                raise UserError(f"a training process for {experiment.stem} ended: {lines[-1]}")
            return json.loads(answer)

        try:
            yield send
        finally:
            process.kill()
            process.communicate()


def train_in_process(
    experiment: Path, folder: Path, epochs: int, variables: dict[str, str] | None = None
) -> tuple[list["numpy.ndarray"], list[dict[str, Any]]]:
    """Train for some epochs in a process of its own.

    Args:
        folder, variables: as for `start_process`.

    Returns:
        The weights, and the log without times.
    """
    import numpy

    from imgcls.training.history import TIMES

    with start_process(experiment, folder, variables=variables) as send:
        log = [send("epoch") for _ in range(epochs)]
        with numpy.load(send(str(folder.with_suffix(".npz")))) as arrays:
            weights = [arrays[name] for name in arrays.files]
    return weights, [{key: entry[key] for key in entry.keys() - TIMES} for entry in log]


def serve(path: Path, folder: Path, cluster: Cluster) -> None:
    """Answer requests from stdin on stdout until the input ends.

    Args:
        path: experiment file.
        folder: run folder.
    """
    import numpy

    from imgcls.training.trainer import Trainer

    experiment = read_experiment(path, [GPU_MEMORY])
    trainer = Trainer(create_run(experiment, folder), experiment, *find_store(experiment), cluster)
    epochs = trainer.train_epochs(StopRequest())
    for request in map(str.strip, sys.stdin):
        if request == "epoch":
            answer: Any = next(epochs).model_dump()
        else:
            numpy.savez(request, *trainer.model.get_weights())
            answer = request
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    experiment_path, run_folder, *workers = sys.argv[1:]
    serve(
        Path(experiment_path),
        Path(run_folder),
        read_cluster(workers[0], int(workers[1]), {}) if workers else SINGLE_PROCESS,
    )
