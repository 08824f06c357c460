"""The same run twice, in each precision: weights and log must have the same bits.

Runs follow each other: cuDNN takes the first algorithm that works, which can depend on the memory
that is free.
"""

from collections.abc import Iterator
from pathlib import Path

from bench.gpu._row import PRECISIONS, Row, Target, decide
from bench.gpu._training import AUGMENTED, EPOCHS, write_experiment
from imgcls.training.process import train_in_process


def measure(target: Target, folder: Path) -> Iterator[Row]:
    """Train each precision in two processes, one after the other."""
    for precision in PRECISIONS:
        yield measure_precision(precision, folder)


def measure_precision(precision: str, folder: Path) -> Row:
    """Compare two runs with augmentation, batch norm and dropout, bit for bit."""
    path = write_experiment(folder, precision, *AUGMENTED, f"train.precision={precision}")
    (one, log), (other, other_log) = (
        train_in_process(path, folder / f"{precision}-{number}", EPOCHS) for number in (1, 2)
    )
    differing = sum(a.tobytes() != b.tobytes() for a, b in zip(one, other, strict=True))
    measured = f"{differing} of {len(one)} arrays of weights differ"
    if log != other_log:
        measured += ", and the log"
    expected = f"0 of {len(one)} differ"
    passed = not differing and log == other_log
    return Row(f"the same run twice, {precision}", measured, expected, decide(passed))
