"""Measures the memory of models, each in a process of its own. Light zone.

The process is `python -m imgcls.compression.peak_memory MODEL THREADS HEIGHT WIDTH CHANNELS`. It
opens a file of Keras or LiteRT, predicts images in batches of 1 and 64 on the CPU, and prints the
mebibytes that it held at most: those of the runtime too, since whoever runs a model has to have
them.
"""

import contextlib
import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from imgcls.errors import UserError

BATCHES = (1, 64)
"""Sizes of the batches, as those of the latency."""


def measure(models: Sequence[Path], shape: tuple[int, int, int], threads: int) -> list[float]:
    """Return the peak memory of each model's process, in mebibytes.

    Args:
        models: files of Keras, whose names end in `.keras`, or of LiteRT.
        shape: height, width and channels of the images.
        threads: of LiteRT.

    Raises:
        UserError: a process ended early, or was ended.
    """
    arguments = list(map(str, (threads, *shape)))
    with contextlib.ExitStack() as stack:
        started = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-P", "-m", __spec__.name, str(path), *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
                )
            )
            for path in models
        ]
        for process in started:
            stack.callback(process.kill)
        return [_read(*pair) for pair in zip(started, models, strict=True)]


def _read(process: "subprocess.Popen[str]", model: Path) -> float:
    stdout, stderr = process.communicate()
    if process.returncode:
        lines = stderr.strip().splitlines() or [f"exit code {process.returncode}"]
        raise UserError(f"the process that measures the memory of {model} ended: {lines[-1]}")
    return float(stdout)


def _predict(path: Path, threads: int, shape: Sequence[int]) -> None:
    """Open a model, and predict random images with it."""
    import numpy

    random = numpy.random.default_rng(0)
    if path.suffix == ".keras":
        from imgcls.backend import keras
        from imgcls.compression.latency import compile_model

        predict = compile_model(keras.models.load_model(path, compile=False))
    else:
        from imgcls.exporters.litert import load

        predict = load(path, threads)
    for size in BATCHES:
        predict(random.integers(0, 256, (size, *shape), numpy.uint8))


def _get_peak() -> float:
    """Return the most memory that this process held so far, in mebibytes.

    Linux counts in `ru_maxrss` what the process that started this one held, before it became
    another program; the peak in /proc does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # in bytes, on macOS


if __name__ == "__main__":
    model_path, *numbers = sys.argv[1:]
    thread_count, *sizes = map(int, numbers)
    _predict(Path(model_path), thread_count, sizes)
    sys.stdout.write(f"{_get_peak()}\n")
