"""The training state outside Keras variables: step, sums, times and log. Heavy zone."""

import time
from typing import Annotated

import numpy
from pydantic import ConfigDict, Field

from imgcls.io.records import Record
from imgcls.training import history, step_sums
from imgcls.training.history import EpochLog, StageSeconds
from imgcls.training.status import Divergence, Retry


class Counters(Record):
    """Counts, sums and times that training updates; saved in every checkpoint."""

    model_config = ConfigDict(frozen=False)

    step: Annotated[int, Field(ge=0)] = 0
    """Steps done, over all epochs."""
    sums: Annotated[
        list[float], Field(min_length=step_sums.ENTRIES, max_length=step_sums.ENTRIES)
    ] = Field(default_factory=lambda: step_sums.make_zeros().tolist())
    """Sums over the current epoch's steps so far; step_sums.py lists the entries."""
    stages: dict[str, float] = Field(default_factory=lambda: dict.fromkeys(history.STAGES, 0.0))
    """Seconds that each stage of the current epoch took so far."""
    epochs: list[EpochLog] = Field(default_factory=list)
    """The log so far."""
    accumulation_steps: Annotated[int, Field(ge=1)] = 1
    """Micro-batches per device and training step."""
    learning_rate_factor: Annotated[float, Field(ge=0)] = 1.0
    """Factor on the schedule's learning rate, which falls on a plateau and with each retry."""
    retries: list[Retry] = Field(default_factory=list)
    """One entry for each retry after divergence."""

    def record_time(self, stage: str, start: float) -> float:
        """Add the time since `start` to a stage.

        Args:
            start: a time of `time.perf_counter`, in seconds.

        Returns:
            The seconds since `start`.
        """
        seconds = time.perf_counter() - start
        self.stages[stage] += seconds
        return seconds

    def end_epoch(
        self,
        *,
        val_loss: float | None,
        val_accuracy: float | None,
        train_mode_loss: float,
        eval_mode_loss: float,
        learning_rate: float,
        image_size: list[int],
        frozen_layers: int,
        trained_parameters: int,
        steps_per_execution: int,
    ) -> None:
        """Add the current epoch to the log, and reset sums and times for the next one.

        The arguments are fields of `EpochLog`.
        """
        sums, seconds = self.sums, self.stages["steps"]
        loss, accuracy = step_sums.compute_means(numpy.array(sums))
        entry = EpochLog(
            epoch=len(self.epochs) + 1 if self.step else 0,
            step=self.step,
            loss=loss,
            accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            train_mode_loss=train_mode_loss,
            eval_mode_loss=eval_mode_loss,
            learning_rate=learning_rate,
            image_size=image_size,
            frozen_layers=frozen_layers,
            trained_parameters=trained_parameters,
            seconds=sum(self.stages[name] for name in history.FOREGROUND),
            images_per_second=sums[step_sums.COUNT] / seconds,
            input_wait=min(max(sums[step_sums.WAIT] / seconds, 0.0), 1.0),
            steps_per_execution=steps_per_execution,
            stage_seconds=StageSeconds.model_validate(self.stages),
        )
        self.epochs.append(entry)
        self.sums = step_sums.make_zeros().tolist()
        self.stages.update(dict.fromkeys(self.stages, 0.0))

    def add_retry(self, divergence: Divergence, learning_rate_factor: float) -> int:
        """Record a retry after divergence.

        Args:
            learning_rate_factor: by which the learning rate is multiplied from now on.

        Returns:
            The number of retries so far.
        """
        self.learning_rate_factor *= learning_rate_factor
        retry = {**divergence.model_dump(), "learning_rate_factor": self.learning_rate_factor}
        self.retries.append(Retry.model_validate(retry))
        return len(self.retries)
