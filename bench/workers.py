"""Two worker processes on one core each against one process on two, with the same global batch; and
the cost of a seek.
"""

import contextlib
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy

from bench.epoch import noise
from imgcls.experiment_file import read_experiment
from imgcls.image.decode import Geometry
from imgcls.input.batches import Examples, ShuffledBatches
from imgcls.store.reader import PixelReader
from imgcls.training.probe import start_probe
from imgcls.verbs.prepare import prepare

ROUNDS = 5
IMAGES = 12_800
STEP = 1_000_000


def ratios() -> list[tuple[str, float, str]]:
    """Measure epochs of configs/fashion_cnn.yaml on noise in turns, and the seconds until the first
    batch of a far step is known.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        overrides = [
            f"data.path={noise(folder, IMAGES)}",
            f"data.store_dir={folder / 'data'}",
            f"train.epochs={ROUNDS + 1}",
        ]
        experiment = read_experiment(Path("configs/fashion_cnn.yaml"), overrides)
        prepare(experiment)
        (folder / "one.yaml").write_text(experiment.to_yaml())
        spread = read_experiment(folder / "one.yaml", ["train.strategy={name: multi_worker}"])
        (folder / "two.yaml").write_text(spread.to_yaml())
        one, two = _medians(folder)
        print(
            f"workers: one process on two cores {one:.2f} s, two on one core each {two:.2f} s",
            file=sys.stderr,
        )
        return [
            ("two workers on a core each / one process on two, images/s", one / two, ">= 0.85"),
            (f"seconds to seek to step {STEP:,}", _seek(), "<= 1"),
        ]


def _medians(folder: Path) -> tuple[float, float]:
    """Return the median seconds of an epoch's steps in one process on two cores, and in two
    processes on one core each.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        workers = ",".join(f"127.0.0.1:{each.getsockname()[1]}" for each in (first, second))
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        with _on(cores):
            alone = stack.enter_context(start_probe(folder / "one.yaml", folder / "one"))
        pair = []
        for rank, core in enumerate(cores):
            with _on([core]):
                pair.append(
                    stack.enter_context(
                        start_probe(folder / "two.yaml", folder / f"two-{rank}", workers, rank)
                    )
                )

        def epoch(*tells: Callable[[str], Any]) -> float:
            logs = pool.map(lambda tell: tell("epoch"), tells)
            return max(log["stage_seconds"]["steps"] for log in logs)

        epoch(alone)
        epoch(*pair)
        times = [(epoch(alone), epoch(*pair)) for _ in range(ROUNDS)]
    one, two = (statistics.median(column) for column in zip(*times, strict=True))
    return one, two


@contextlib.contextmanager
def _on(cores: list[int]) -> Iterator[None]:
    """Start what is started in the block on some cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _seek() -> float:
    """Return the seconds from a new plan over 1,281,167 examples to the rows of a far step."""
    count = 1_281_167
    nothing = PixelReader(numpy.zeros((1, 1, 1, 1), numpy.uint8), Geometry((1, 1, 1), "stretch"))
    examples = Examples(nothing, numpy.zeros(1, numpy.int32), numpy.arange(count))
    experiment = read_experiment(Path("configs/fashion_cnn.yaml"))
    start = time.perf_counter()
    ShuffledBatches(examples, experiment).compute_positions(STEP)
    return time.perf_counter() - start
