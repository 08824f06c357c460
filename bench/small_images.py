"""Speed of streaming small images with a random crop and a flip, as training on CIFAR-10 does.

Run only this benchmark with `python -m bench.small_images`.
"""

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from bench.photos import make_loader
from bench.ratios import Ratio, print_ratios

ROUNDS = 7
BATCH, WARMING, STEPS = 128, 60, 400
IMAGES, SHAPE = 50_000, (32, 32, 3)
EXPERIMENT = f"""
{{name: small, data: {{name: digits}}, model: {{name: cnn}}, train: {{batch_size: {BATCH}}},
 augment: [{{name: random_crop, padding: 4}}, {{name: random_flip}}]}}
"""
PLACEMENTS = {"store": "the store", "host": "the host's memory"}


def measure_ratios() -> list[Ratio]:
    """Measure the images/s that reach training if nothing is trained, by where images lie."""
    with tempfile.TemporaryDirectory() as folder:
        batches = _make_batches(Path(folder))
        speeds = _measure(
            {
                "copying the same bytes": _make_copier(),
                **{placement: make_loader(batches, placement) for placement in PLACEMENTS},
            }
        )
    return [
        (
            f"32x32x3 from {name}, random crop, flip: 1,000 images/s",
            statistics.median(speeds[placement]) / 1000,
            ">= 60.00",
        )
        for placement, name in PLACEMENTS.items()
    ]


def _measure(loaders: dict[str, Callable[[], Any]]) -> dict[str, list[float]]:
    """Measure the loaders in alternation; return the images/s of each in each round."""
    speeds: dict[str, list[float]] = {name: [] for name in loaders}
    for _ in range(ROUNDS):
        for name, start_loader in loaders.items():
            batches = start_loader()
            _take(batches, WARMING)
            start = time.perf_counter()
            _take(batches, STEPS)
            speeds[name].append(BATCH * STEPS / (time.perf_counter() - start))
            del batches
    for name, values in speeds.items():
        print(
            f"small images: {name} {statistics.median(values):,.0f} images/s,"
            f" {min(values):,.0f} to {max(values):,.0f}",
            file=sys.stderr,
        )
    return speeds


def _take(batches: Any, count: int) -> None:
    for _ in itertools.islice(batches, count):
        pass


def _make_batches(folder: Path) -> Any:
    """Return the training batches of a file with random pixels."""
    from imgcls.experiment_file import read_experiment
    from imgcls.image.decode import Geometry
    from imgcls.input.batches import Examples, ShuffledBatches
    from imgcls.store.reader import PixelReader

    path, pixels = folder / "experiment.yaml", folder / "images.u8"
    path.write_text(EXPERIMENT)
    generator = numpy.random.default_rng(0)
    generator.integers(0, 256, (IMAGES, *SHAPE), numpy.uint8).tofile(pixels)
    reader = PixelReader(pixels, SHAPE, Geometry(SHAPE, "stretch"))
    examples = Examples(reader, numpy.zeros(IMAGES, numpy.int32), numpy.arange(IMAGES))
    return ShuffledBatches(examples, read_experiment(path))


def _make_copier() -> Callable[[], Any]:
    """Return a function that starts copying batches of bytes: how fast the machine is now."""
    source = numpy.zeros((WARMING + STEPS, BATCH, *SHAPE), numpy.uint8)
    target = numpy.zeros_like(source)
    return lambda: map(numpy.copyto, target, source)


def main() -> None:
    """Print the speeds."""
    print_ratios(measure_ratios())


if __name__ == "__main__":
    main()
