"""The part of the training state that is not in variables: how far it came, sums, times, and the
log. Heavy zone.
"""

import time
from typing import Annotated

import numpy
from pydantic import ConfigDict, Field

from imgcls.io.records import Record
from imgcls.training import history, steps
from imgcls.training.history import EpochLog, StageSeconds
from imgcls.training.status import Divergence, Retry


class Counters(Record):
    """Counts, sums and times, which training changes; saved with every checkpoint."""

    model_config = ConfigDict(frozen=False)

    step: Annotated[int, Field(ge=0)] = 0
    """Steps done, over all epochs."""
    sums: Annotated[list[float], Field(min_length=steps.ENTRIES, max_length=steps.ENTRIES)] = Field(
        default_factory=lambda: steps.make_zero_sums().tolist()
    )
    """Over the steps of the present epoch (see steps.py)."""
    stages: dict[str, float] = Field(default_factory=lambda: dict.fromkeys(history.STAGES, 0.0))
    """The seconds that each stage of the present epoch took so far."""
    epochs: list[EpochLog] = Field(default_factory=list)
    """The log so far."""
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """How many micro-batches each device works on one after the other for a step."""
    retries: list[Retry] = Field(default_factory=list)
    """One for each time that training diverged and went on from here with a lower learning rate."""

    def add(self, stage: str, start: float) -> float:
        """Add to a stage the seconds since `start`, a time of `time.perf_counter`; return them."""
        seconds = time.perf_counter() - start
        self.stages[stage] += seconds
        return seconds

    def end_epoch(
        self, val_loss: float | None, val_accuracy: float | None, learning_rate: float
    ) -> None:
        """Add the present epoch to the log, and start the sums and times of the next one."""
        sums, seconds = self.sums, self.stages["steps"]
        loss, accuracy = steps.compute_means(numpy.array(sums))
        entry = EpochLog(
            epoch=len(self.epochs) + 1,
            step=self.step,
            loss=loss,
            accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=learning_rate,
            seconds=sum(self.stages[name] for name in history.FOREGROUND),
            images_per_second=sums[steps.COUNT] / seconds,
            input_wait=min(sums[steps.WAIT] / seconds, 1.0),
            stage_seconds=StageSeconds.model_validate(self.stages),
        )
        self.epochs.append(entry)
        self.sums = steps.make_zero_sums().tolist()
        self.stages.update(dict.fromkeys(self.stages, 0.0))

    def add_retry(self, divergence: Divergence, learning_rate_factor: float) -> int:
        """Add that training goes on more slowly after it diverged; return how often it did."""
        retry = {**divergence.model_dump(), "learning_rate_factor": learning_rate_factor}
        self.retries.append(Retry.model_validate(retry))
        return len(self.retries)
