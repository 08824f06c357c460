"""imgcls's way of reading images in processes beside Google's grain, which is given the same work:
the same decoder on the same store, the same crops in the same order, which is checked.

Run alone, with `pip install -e '.[bench]'`: `python -m bench.grain_loader [ROUNDS]`. grain hands
over arrays, imgcls tensors; the copy that a tensor would cost is spared grain.
"""

import gc
import importlib.util
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import loader

if TYPE_CHECKING:
    import grain
    import numpy

    from imgcls.input.batches import ShuffledBatches

ROUNDS = 9
WARMING, STEPS, AHEAD = 8, 24, 16
"""Batches of a round that are not timed, that are, and that may be read ahead without a use."""
CHECKED = 3
WORKERS = len(os.sched_getaffinity(0))
STORES = {
    "as it comes": "storage: encoded",
    "stored with restart markers": "storage: encoded, restart_markers: true",
    "stored pixels of 256x256": "stored_size: [256, 256]",
}

Way = Callable[[], Iterator[Any]]
"""Begins anew, and yields batches of images."""


class StoredCrops:
    """What grain calls a random access data source: crops of images of a store.

    Each process opens the store for itself, since a reader cannot be pickled.

    Args:
        asked: what `Reader.crop` takes, each array with an axis over the source's elements before
            the others.
    """

    def __init__(self, folder: Path, geometry: Any, asked: "tuple[numpy.ndarray, ...]"):
        self._folder = folder
        self._geometry = geometry
        self._asked = asked
        self._reader: Any = None

    def __len__(self) -> int:
        return len(self._asked[0])

    def __getitem__(self, element: int) -> "numpy.ndarray":
        """Return uint8 (n, height, width, channels), or the image where n is 1."""
        if self._reader is None:
            import cv2

            from imgcls.store.store import open_store

            cv2.setNumThreads(1)  # as in imgcls's own processes
            self._reader = open_store(self._folder).reader(self._geometry)
        images = self._reader.crop(*(each[element] for each in self._asked))
        return images[0] if len(images) == 1 else images


class _Recorder:
    """A `Reader` that reads nothing, and records what it is asked for."""

    def __init__(self, reader: Any):
        self.geometry, self.larger, self.parallel = reader.geometry, reader.larger, 1
        self.sizes = reader.sizes
        self.asked: list[tuple[numpy.ndarray, ...]] = []

    def crop(self, *asked: "numpy.ndarray") -> "numpy.ndarray":
        """Record indices, crops and flips; return any pixels."""
        import numpy

        self.asked.append(asked)
        return numpy.empty((len(asked[0]), *self.geometry.shape), numpy.uint8)


def ratios(rounds: int = ROUNDS) -> list[tuple[str, float, str]]:
    """Compare the images/s of both on each kind of store; nothing where grain is not installed."""
    if importlib.util.find_spec("grain") is None:
        print("grain: not compared, since it is not installed", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        loader.write_photos(folder / "photos")
        return [row for stored in STORES for row in _compare(folder, stored, rounds)]


def _compare(folder: Path, stored: str, rounds: int) -> Iterator[tuple[str, float, str]]:
    text = loader.CROPPED.format(folder=folder, store=STORES[stored], batch=loader.BATCH)
    experiment, store, split = loader.prepare_experiment(text, folder)
    plan = loader.plan_batches(experiment, store, split)
    asked = _record(experiment, plan)
    each_alone = tuple(array.reshape(-1, 1, *array.shape[2:]) for array in asked)
    batches = StoredCrops(store.folder, split.geometry, asked)
    images = StoredCrops(store.folder, split.geometry, each_alone)
    ways: dict[str, Way] = {
        "imgcls": loader.stream(plan),
        "grain, a batch an element": _grain(_read_with_grain(batches)),
        "grain, an image an element": _grain(_read_with_grain(images, loader.BATCH)),
    }
    _require_equal(ways)
    speeds = _measure(ways, rounds)
    for name, values in speeds.items():
        ratio = sorted(a / b for a, b in zip(speeds["imgcls"], values, strict=True))
        print(
            f"grain: {stored}: {name} {statistics.median(values):,.0f} images/s"
            f" ({min(values):,.0f} to {max(values):,.0f}), imgcls / it {ratio[0]:.2f} to"
            f" {ratio[-1]:.2f}",
            file=sys.stderr,
        )
        if name != "imgcls":
            what = f"JPEG 500x375, {stored}, random resized crop 224, flip / {name}"
            yield what, statistics.median(ratio), ">= 1.00"
    _require_resumption(_read_with_grain(batches))


def _record(experiment: Any, plan: "ShuffledBatches") -> "tuple[numpy.ndarray, ...]":
    """Return what the first batches of a plan ask their reader for, with an axis over batches."""
    import numpy

    from imgcls.input.batches import Examples, ShuffledBatches

    examples, recorder = plan.examples, _Recorder(plan.examples.images)
    same = ShuffledBatches(Examples(recorder, examples.labels, examples.indices), experiment)
    for step in range(WARMING + STEPS + AHEAD):
        same.read(step, slice(0, loader.BATCH))
    return tuple(numpy.stack(each) for each in zip(*recorder.asked, strict=True))


def _read_with_grain(source: StoredCrops, batch_size: int | None = None) -> "grain.IterDataset":
    """Return grain's reading of a source, in its order, in as many processes as imgcls has.

    One thread in each, which was the fastest: they share Python's lock, and the store is in the
    page cache. Batches are made before the processes share the elements, or else they would hold
    other images.
    """
    import grain

    dataset = grain.MapDataset.source(source)
    if batch_size:
        dataset = dataset.batch(batch_size)
    read = grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)
    processes = grain.multiprocessing.MultiprocessingOptions(
        num_workers=WORKERS, per_worker_buffer_size=2
    )
    return dataset.to_iter_dataset(read).mp_prefetch(processes)


def _grain(dataset: "grain.IterDataset") -> Way:
    def batches() -> Iterator[Any]:
        iterator = iter(dataset)
        try:
            yield from iterator
        finally:
            iterator.close()  # ends its processes

    return batches


def _require_equal(ways: dict[str, Way]) -> None:
    """Raise where a way does not yield the same pixels in the same order as the first one."""
    import numpy

    first, *others = (
        numpy.stack([numpy.asarray(each) for each in itertools.islice(way(), CHECKED)])
        for way in ways.values()
    )
    for name, pixels in zip(list(ways)[1:], others, strict=True):
        numpy.testing.assert_array_equal(pixels, first, err_msg=name)


def _measure(ways: dict[str, Way], rounds: int) -> dict[str, list[float]]:
    """Return the images/s of each way in rounds in turns, every other one in reverse.

    A way begins anew in each round, or else it would go on in the background of the others.
    """
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            batches = ways[name]()
            for _ in itertools.islice(batches, WARMING):
                pass
            began = time.perf_counter()
            images = sum(batch.shape[0] for batch in itertools.islice(batches, STEPS))
            speeds[name].append(images / (time.perf_counter() - began))
            del batches
            gc.collect()
    return speeds


def _require_resumption(dataset: "grain.IterDataset") -> None:
    """Raise where grain does not go on after the batch at which its state was taken."""
    import numpy

    iterator = iter(dataset)
    for _ in range(CHECKED):
        next(iterator)
    state, expected = iterator.get_state(), next(iterator)
    iterator.close()
    resumed = iter(dataset)
    resumed.set_state(state)
    began = time.perf_counter()
    numpy.testing.assert_array_equal(next(resumed), expected)
    seconds = time.perf_counter() - began
    resumed.close()
    print(f"grain: resumed, with new processes, in {seconds:.2f} s", file=sys.stderr)


def main() -> None:
    """Print the ratios; the first argument may be a number of rounds."""
    for name, measured, target in ratios(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS):
        print(f"{name:<92}  {measured:>8.2f}  {target}")


if __name__ == "__main__":
    main()
