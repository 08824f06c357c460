"""The time of an epoch against bare training steps on one batch in memory, as in `make bench`."""

from collections.abc import Iterator
from pathlib import Path

from bench import epoch
from bench.gpu._row import Row, Target, decide

LIMIT = 1.10


def measure(target: Target, folder: Path) -> Iterator[Row]:
    """Measure epochs of configs/fashion_cnn.yaml on noise."""
    images = epoch.write_noise(folder, target.images)
    seconds = epoch.measure_epoch_and_bare_steps(images, folder)
    ratio = seconds["imgcls"] / seconds["bare"]
    speed = target.images / seconds["imgcls"]
    yield Row(
        "epoch of fashion_cnn / bare training steps",
        f"{ratio:.2f} ({speed:,.0f} images/s)",
        f"<= {LIMIT:.2f}",
        decide(ratio <= LIMIT),
    )
