"""Two devices mirrored against one, with augmentation, in float64."""

from collections.abc import Iterator
from pathlib import Path

from bench.gpu._row import Row, Target, decide
from bench.gpu._training import AUGMENTED, EPOCHS, write_experiment
from imgcls.training.process import train_in_process
from imgcls.verbs.diagnose import measure_difference

LIMIT = 1e-12
"""As for one and two devices in `imgcls doctor`."""
CHECK = "two devices mirrored against one, float64"
FLOAT64 = (
    *AUGMENTED,
    "train.precision=float64",
    "train.optimizer={name: sgd, learning_rate: 0.05}",
)
TWO = "train.strategy={name: mirrored, replicas: 2}"


def measure(target: Target, folder: Path) -> Iterator[Row]:
    """Compare the weights of two runs, which differ in their strategy."""
    if len(target.devices) < 2:
        yield Row(CHECK, "not run: one GPU", f"<= {LIMIT:g}", "skipped")
        return
    (one, _), (two, _) = (
        train_in_process(write_experiment(folder, name, *FLOAT64, *more), folder / name, EPOCHS)
        for name, more in (("one", ()), ("two", (TWO,)))
    )
    difference = measure_difference(one, two)
    yield Row(CHECK, f"{difference:.1e}", f"<= {LIMIT:g}", decide(difference <= LIMIT))
