"""Speed of reading images in processes, compared with Google's grain.

Both use the same decoder and store, and read the same crops in the same order, which is checked.
grain has a small advantage: it returns arrays, without the copy to tensors.

Run only this benchmark with `python -m bench.grain_loader [ROUNDS]`, after
`pip install -e '.[bench]'`.
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

from bench import photos
from bench.loader import BATCH
from bench.ratios import Ratio, print_ratios

if TYPE_CHECKING:
    import grain
    import numpy

    from imgcls.input.batches import ShuffledBatches

ROUNDS = 9
WARMING, STEPS, AHEAD = 8, 24, 16
"""Batches of a round: those that are not timed, those that are, and those read ahead, unused."""
CHECKED = 3
WORKERS = len(os.sched_getaffinity(0))
STORES = {
    "as it comes": "storage: encoded",
    "stored with restart markers": "storage: encoded, restart_markers: true",
    "stored pixels of 256x256": "stored_size: [256, 256]",
}

Loader = Callable[[], Iterator[Any]]
"""Starts a new iterator over batches of images."""


class CropSource:
    """A random access data source for grain: crops of a store's images.

    Each process opens the store, since a reader cannot be pickled.

    Args:
        arguments: of `Reader.crop`, each with an additional first axis over the elements of the
            source.
    """

    def __init__(self, folder: Path, geometry: Any, arguments: "tuple[numpy.ndarray, ...]"):
        self._folder = folder
        self._geometry = geometry
        self._arguments = arguments
        self._reader: Any = None

    def __len__(self) -> int:
        return len(self._arguments[0])

    def __getitem__(self, element: int) -> "numpy.ndarray":
        """Return uint8 (n, height, width, channels); without the first axis if n is 1."""
        if self._reader is None:
            import cv2

            from imgcls.store.store import open_store

            cv2.setNumThreads(1)  # as in imgcls's data workers
            self._reader = open_store(self._folder).open_reader(self._geometry)
        images = self._reader.crop(*(each[element] for each in self._arguments))
        return images[0] if len(images) == 1 else images


class _Recorder:
    """A `Reader` that records the arguments of `crop`, and does not read images."""

    def __init__(self, reader: Any):
        self.geometry, self.needs_resize, self.max_threads = reader.geometry, reader.needs_resize, 1
        self.get_sizes = reader.get_sizes
        self.arguments: list[tuple[numpy.ndarray, ...]] = []

    def crop(self, *arguments: "numpy.ndarray") -> "numpy.ndarray":
        """Record indices, crops and flips; return arbitrary pixels."""
        import numpy

        self.arguments.append(arguments)
        return numpy.empty((len(arguments[0]), *self.geometry.shape), numpy.uint8)


def measure_ratios(rounds: int = ROUNDS) -> list[Ratio]:
    """Compare the images/s of both on each kind of store, if grain is installed."""
    if importlib.util.find_spec("grain") is None:
        print("grain: not compared, since it is not installed", file=sys.stderr)
        return []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos.write_photos(folder / "photos")
        return [row for stored in STORES for row in _compare(folder, stored, rounds)]


def _compare(folder: Path, stored: str, rounds: int) -> Iterator[Ratio]:
    text = photos.CROPPED.format(folder=folder, store=STORES[stored], batch=BATCH)
    experiment, store, split = photos.prepare_experiment(text, folder)
    batches = photos.make_batches(experiment, store, split)
    per_batch = _record_crops(experiment, batches)
    per_image = tuple(array.reshape(-1, 1, *array.shape[2:]) for array in per_batch)
    batch_source = CropSource(store.folder, split.geometry, per_batch)
    image_source = CropSource(store.folder, split.geometry, per_image)
    loaders: dict[str, Loader] = {
        "imgcls": photos.make_loader(batches),
        "grain, a batch per element": _make_grain_loader(_make_dataset(batch_source)),
        "grain, an image per element": _make_grain_loader(_make_dataset(image_source, BATCH)),
    }
    _require_equal(loaders)
    speeds = _measure(loaders, rounds)
    for name, values in speeds.items():
        ratio = sorted(a / b for a, b in zip(speeds["imgcls"], values, strict=True))
        print(
            f"grain: {stored}: {name} {statistics.median(values):,.0f} images/s"
            f" ({min(values):,.0f} to {max(values):,.0f}), imgcls / it {ratio[0]:.2f} to"
            f" {ratio[-1]:.2f}",
            file=sys.stderr,
        )
        if name != "imgcls":
            label = f"JPEG 500x375, {stored}, random resized crop 224, flip / {name}"
            yield label, statistics.median(ratio), ">= 1.00"
    _require_resumption(_make_dataset(batch_source))


def _record_crops(experiment: Any, batches: "ShuffledBatches") -> "tuple[numpy.ndarray, ...]":
    """Return the arguments of `Reader.crop` for the first batches, stacked over batches."""
    import numpy

    from imgcls.input.batches import Examples, ShuffledBatches

    examples, recorder = batches.examples, _Recorder(batches.examples.reader)
    same = ShuffledBatches(Examples(recorder, examples.labels, examples.indices), experiment)
    for step in range(WARMING + STEPS + AHEAD):
        same.read(step, slice(0, BATCH))
    return tuple(numpy.stack(each) for each in zip(*recorder.arguments, strict=True))


def _make_dataset(source: CropSource, batch_size: int | None = None) -> "grain.IterDataset":
    """Return a dataset that reads a source in order, in as many processes as imgcls uses.

    Each process has one thread, which was the fastest: threads share the GIL, and the store is in
    the page cache. Elements are batched before they are distributed over processes; otherwise
    batches would consist of other images.
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


def _make_grain_loader(dataset: "grain.IterDataset") -> Loader:
    def start() -> Iterator[Any]:
        iterator = iter(dataset)
        try:
            yield from iterator
        finally:
            iterator.close()  # ends its processes

    return start


def _require_equal(loaders: dict[str, Loader]) -> None:
    """Raise an error unless all loaders return the same pixels in the same order."""
    import numpy

    first, *others = (
        numpy.stack([numpy.asarray(each) for each in itertools.islice(start(), CHECKED)])
        for start in loaders.values()
    )
    for name, pixels in zip(list(loaders)[1:], others, strict=True):
        numpy.testing.assert_array_equal(pixels, first, err_msg=name)


def _measure(loaders: dict[str, Loader], rounds: int) -> dict[str, list[float]]:
    """Measure the loaders in alternation, in reverse order every other round; return images/s.

    Each round starts a new iterator, since an old one would keep reading in the background.
    """
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    for number in range(rounds):
        for name in list(loaders)[:: 1 if number % 2 else -1]:
            batches = loaders[name]()
            for _ in itertools.islice(batches, WARMING):
                pass
            start = time.perf_counter()
            images = sum(batch.shape[0] for batch in itertools.islice(batches, STEPS))
            speeds[name].append(images / (time.perf_counter() - start))
            del batches
            gc.collect()
    return speeds


def _require_resumption(dataset: "grain.IterDataset") -> None:
    """Raise an error if grain does not resume with the batch after its saved state."""
    import numpy

    iterator = iter(dataset)
    for _ in range(CHECKED):
        next(iterator)
    state, expected = iterator.get_state(), next(iterator)
    iterator.close()
    resumed = iter(dataset)
    resumed.set_state(state)
    start = time.perf_counter()
    numpy.testing.assert_array_equal(next(resumed), expected)
    seconds = time.perf_counter() - start
    resumed.close()
    print(f"grain: resumed, with new processes, in {seconds:.2f} s", file=sys.stderr)


def main() -> None:
    """Print the ratios; the first argument may be a number of rounds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print_ratios(measure_ratios(rounds))


if __name__ == "__main__":
    main()
