"""Two workers on one core each, compared with one process on two cores; and the time of a seek."""

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

from bench.epoch import write_noise
from bench.ratios import Ratio
from imgcls.experiment_file import read_experiment
from imgcls.image.decode import Geometry
from imgcls.input.batches import Examples, ShuffledBatches
from imgcls.store.reader import PixelReader
from imgcls.training.process import start_process
from imgcls.verbs.prepare import prepare

ROUNDS = 5
IMAGES = 12_800
STEP = 1_000_000


def measure_ratios() -> list[Ratio]:
    """Compare epochs of configs/fashion_cnn.yaml on noise with the same global batch.

    Also measures the seconds to compute the batch of a late step.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        overrides = [
            f"data.path={write_noise(folder, IMAGES)}",
            f"data.store_dir={folder / 'data'}",
            f"train.epochs={ROUNDS + 1}",
        ]
        experiment = read_experiment(Path("configs/fashion_cnn.yaml"), overrides)
        prepare(experiment)
        (folder / "one.yaml").write_text(experiment.to_yaml())
        spread = read_experiment(folder / "one.yaml", ["train.strategy={name: multi_worker}"])
        (folder / "two.yaml").write_text(spread.to_yaml())
        one, two = _measure_medians(folder)
        print(
            f"workers: one process on two cores {one:.2f} s, two on one core each {two:.2f} s",
            file=sys.stderr,
        )
        return [
            ("two workers on a core each / one process on two, images/s", one / two, ">= 0.85"),
            (f"seconds to seek to step {STEP:,}", _measure_seek(), "<= 1"),
        ]


def _measure_medians(folder: Path) -> tuple[float, float]:
    """Measure one process on two cores and two workers on one core each, in alternation.

    Returns:
        The median seconds of an epoch's steps of each.
    """
    cores = sorted(os.sched_getaffinity(0))[:2]
    with socket.socket() as first, socket.socket() as second:
        for each in (first, second):
            each.bind(("127.0.0.1", 0))
        workers = ",".join(f"127.0.0.1:{each.getsockname()[1]}" for each in (first, second))
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        with _pin_to_cores(cores):
            alone = stack.enter_context(start_process(folder / "one.yaml", folder / "one"))
        pair = []
        for rank, core in enumerate(cores):
            with _pin_to_cores([core]):
                pair.append(
                    stack.enter_context(
                        start_process(folder / "two.yaml", folder / f"two-{rank}", workers, rank)
                    )
                )

        def train_epoch(*processes: Callable[[str], Any]) -> float:
            logs = pool.map(lambda send: send("epoch"), processes)
            return max(log["stage_seconds"]["steps"] for log in logs)

        train_epoch(alone)
        train_epoch(*pair)
        times = [(train_epoch(alone), train_epoch(*pair)) for _ in range(ROUNDS)]
    one, two = (statistics.median(column) for column in zip(*times, strict=True))
    return one, two


@contextlib.contextmanager
def _pin_to_cores(cores: list[int]) -> Iterator[None]:
    """Pin processes that are started in the block to some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _measure_seek() -> float:
    """Return the seconds to compute the batch of a late step of 1,281,167 examples."""
    count = 1_281_167
    # Positions are computed without reading.
    reader = PixelReader(Path(os.devnull), (1, 1, 1), Geometry((1, 1, 1), "stretch"))
    examples = Examples(reader, numpy.zeros(1, numpy.int32), numpy.arange(count))
    experiment = read_experiment(Path("configs/fashion_cnn.yaml"))
    start = time.perf_counter()
    ShuffledBatches(examples, experiment).compute_positions(STEP)
    return time.perf_counter() - start
