"""The result of a learning-rate range test: its files, its smoothing, and its suggestions. Light
zone.

Smith, Cyclical learning rates for training neural networks, 2017, section 3.3; smoothing, stopping
and suggestions as in fastai and PyTorch Lightning.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from imgcls.io import numbered_folders
from imgcls.io.records import Record
from imgcls.run import RUNS

SMOOTHING = 0.9
"""Decay of the moving average of the losses. fastai's 0.98 lags behind by 50 steps, which are more
than a decade of the learning rate here."""
MAX_LOSS_RATIO = 4.0
"""The test stops when the smoothed loss is this many times its minimum."""
SKIPPED_STEPS = 10
"""The first steps, which are never suggested: their moving averages are over few losses."""
STEP_FIELDS = ("learning_rates", "losses", "smoothed")
"""The fields of `LearningRateTest` with a value for each step."""
_MAX_ROWS = 25
"""Rows of the printed table, at most."""

Rate = Annotated[float, Field(gt=0)]


class LearningRateTest(Record):
    """A learning-rate range test: the loss of each step, while the learning rate rises."""

    experiment: str
    """The name of the experiment."""
    seed: int
    """The seed of the experiment."""
    fingerprint: str
    """The fingerprint of the store."""
    optimizer: str
    """The optimizer part."""
    batch_size: int
    """Images per global batch."""
    accumulation_steps: int
    """Micro-batches per device and training step."""
    steps_per_epoch: int
    """Training steps of an epoch; the test goes through the images as training does."""
    planned_steps: int
    """Steps of the whole range of learning rates."""
    stopped: str
    """Why the test ended before that; empty if it did not."""
    learning_rates: list[Rate]
    """The learning rate of each step, as `train.optimizer.learning_rate` states it."""
    losses: list[float]
    """The mean training loss of each step's batch, in nats, before its update."""
    smoothed: list[float]
    """The moving average of the losses, with bias correction."""
    steepest: Rate | None
    """The learning rate at which the smoothed loss falls fastest per decade, before its minimum;
    null if it never falls.
    """
    minimum_tenth: Rate | None
    """A tenth of the learning rate with the lowest smoothed loss; null if it never falls."""
    suggested: Rate | None
    """The lower of these two; null if the loss never falls. The minimum alone misleads where a loss
    falls to that of chance and stays there, and the steepest descent may lie close to divergence.
    """
    current: Rate
    """The learning rate of the experiment."""


@dataclass(frozen=True)
class LearningRateFolder:
    """The folder of a learning-rate range test: `runs/<experiment>/learning-rate-<number>`."""

    folder: Path

    @property
    def record_file(self) -> Path:
        """All learning rates and losses."""
        return self.folder / "learning_rate.json"

    @property
    def figure_file(self) -> Path:
        """The plot of losses over learning rates."""
        return self.folder / "learning_rate.png"


def create_folder(name: str) -> LearningRateFolder:
    """Create the next folder for a test of an experiment."""
    return LearningRateFolder(numbered_folders.make_next(RUNS / name, "learning-rate-"))


class LossAverage:
    """A moving average of losses, with the bias correction of Adam (Kingma and Ba, 2015)."""

    def __init__(self) -> None:
        self._sum = 0.0
        self.values: list[float] = []

    def add(self, loss: float) -> None:
        """Add the average after one more loss to `values`."""
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * loss
        self.values.append(self._sum / (1 - SMOOTHING ** (len(self.values) + 1)))

    def has_exploded(self) -> bool:
        """Return whether the average is far above its minimum."""
        return self.values[-1] > MAX_LOSS_RATIO * min(self.values)


def find_minimum(smoothed: Sequence[float]) -> int | None:
    """Return the step with the lowest smoothed loss; None if the loss never falls."""
    import numpy

    if len(smoothed) <= SKIPPED_STEPS + 1:
        return None
    step = SKIPPED_STEPS + int(numpy.argmin(smoothed[SKIPPED_STEPS:]))
    return step if step > SKIPPED_STEPS and smoothed[step] < smoothed[SKIPPED_STEPS] else None


def find_steepest(rates: Sequence[float], smoothed: Sequence[float]) -> int | None:
    """Return the step before the minimum at which the smoothed loss falls fastest per decade.

    None if the loss never falls.
    """
    import numpy

    minimum = find_minimum(smoothed)
    if minimum is None:
        return None
    slopes = numpy.gradient(smoothed, numpy.log10(rates))
    return SKIPPED_STEPS + int(numpy.argmin(slopes[SKIPPED_STEPS : minimum + 1]))


def format_command(test: LearningRateTest, arguments: str) -> str | None:
    """Return the command that trains with the learning rate that is suggested; None without one.

    Args:
        arguments: the experiment and its `--set` options, as they follow `imgcls train`.
    """
    if test.suggested is None:
        return None
    rate = f"{test.suggested:.2g}"
    return f"imgcls train {arguments} --set train.optimizer.learning_rate={rate}"


def make_rows(test: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a table of the losses over the learning rates, in rows at equal distances.

    Args:
        test: a `LearningRateTest`, as a mapping.
    """
    rates, losses, smoothed = (test[name] for name in STEP_FIELDS)
    count = min(_MAX_ROWS, len(losses))
    steps = sorted({round(i * (len(losses) - 1) / max(count - 1, 1)) for i in range(count)})
    return [
        {
            "step": step + 1,
            "learning_rate": rates[step],
            "loss": losses[step],
            "smoothed_loss": smoothed[step],
        }
        for step in steps
    ]
