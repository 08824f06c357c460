"""What training leaves in its run folder while it goes on. Heavy zone.

Where several processes train, all of them call these functions and the leading one alone writes.
"""

import os
from typing import Annotated

from pydantic import Field

from imgcls import environment
from imgcls.backend import SWITCHES, keras
from imgcls.distributed.cluster import Cluster
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.io.records import Record, read_record, write_record, write_records
from imgcls.run import Run
from imgcls.training import checkpoint, history, model_file
from imgcls.training.checkpoint import Checkpoints
from imgcls.training.counters import Counters


class RequestedAccumulation(Record):
    """What a worker of a cluster that ran out of memory asks of the next start of all workers."""

    accumulation_steps: Annotated[int, Field(ge=1)]
    """Into how many micro-batches each device is to divide its images of a step."""


class Recorder:
    """Writes environment, status, log, states and model of a run."""

    def __init__(self, run: Run, checkpoints: Checkpoints, cluster: Cluster):
        self._run = run
        self._checkpoints = checkpoints
        self._cluster = cluster
        self.writes = cluster.is_chief

    def write_environment(self, seed: int, devices: list[str]) -> None:
        """Write with what this start runs, and keep what is known of earlier starts."""
        if not self.writes:
            return
        previous = self._run.environment if os.path.lexists(self._run.environment_file) else None
        workers = list(self._cluster.addresses)
        described = environment.describe(seed, devices, SWITCHES, workers, previous)
        write_record(self._run.environment_file, described)

    def advise_continuation(self) -> str:
        """Return how to go on with a run whose state is saved."""
        if not self._cluster.is_single:
            return "the state is saved; start all workers again with the same commands to continue"
        return (
            f"the state is saved, continue with: imgcls train {self._run.config_file} --run"
            f" {self._run.folder}"
        )

    def follow(self, step: int) -> Counters:
        """Load the state after a step, which the writing process has found whole."""
        return self._checkpoints.load_state(step)

    def save(self, counters: Counters) -> None:
        """Write the complete training state, and how far it came."""
        if self.writes:
            self._checkpoints.save(counters)
            self._run.write_status(
                "running",
                step=counters.step,
                retries=counters.retries,
                accumulation_steps=counters.accumulation_steps,
            )

    def request_accumulation_steps(self, number: int) -> None:
        """Let the next start of all processes divide into so many micro-batches; the one thing that
        any process may write.
        """
        write_record(
            self._run.accumulation_steps_file, RequestedAccumulation(accumulation_steps=number)
        )

    def restore(self, rows: int) -> Counters | None:
        """Load the newest whole state, if there is one, on the writing process alone.

        Args:
            rows: of a batch on each device, which `accumulation_steps.json` must divide.
        """
        restored = self._checkpoints.restore() if self.writes else None
        path = self._run.accumulation_steps_file
        if restored is None or not os.path.lexists(path):
            return restored
        advice = "delete it, and run the same command again"
        asked = read_record(path, RequestedAccumulation, advice).accumulation_steps
        if rows % asked:
            raise DataError(
                f"{path} asks for {asked} accumulation steps, which do not divide {rows} images;"
                f" {advice}"
            )
        restored.accumulation_steps = max(restored.accumulation_steps, asked)
        self.save(restored)
        path.unlink()
        return restored

    def save_best(self, epochs: history.Epochs) -> None:
        """Keep the weights if the last epoch is the best so far."""
        if self.writes:
            self._checkpoints.save_best(epochs)

    def write_log(self, epochs: history.Epochs) -> None:
        """Write the log anew: after a fall back to an older state, later epochs must go."""
        if self.writes:
            write_records(self._run.log_file, epochs)

    def write_model(self, model: keras.Model, epochs: history.Epochs) -> None:
        """Write the chosen weights as model.keras; for the last epoch's, the model's present
        ones.
        """
        if self.writes:
            self._checkpoints.load_selected(epochs)
            model_file.save_model(model_file.make_serving_model(model), self._run.model_file)


def rebuild_log(run: Run, problem: str) -> None:
    """Write the log of a finished run anew, from the counters of its newest state.

    Args:
        problem: what is wrong with the log, as a sentence without its end.

    Raises:
        DataError: no state is left, or it cannot be read.
    """
    counters = checkpoint.read_newest_counters(run)
    if counters is None or not counters.epochs:
        raise DataError(
            f"{problem}, and no state in {run.checkpoint_folder} is left to write it anew: the"
            " losses and accuracies of its epochs are lost; the model and its evaluations are not,"
            " and to have a log again, train a new run with --run"
        )
    write_records(run.log_file, counters.epochs)
    terminal.note(f"{problem}; it was written anew from the state after step {counters.step}")
