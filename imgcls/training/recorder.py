"""What training leaves in its run folder while it goes on. Heavy zone.

Where several processes train, all of them call these functions and the leading one alone writes.
"""

import json
from typing import Any

from imgcls import environment
from imgcls.backend import SWITCHES, keras
from imgcls.distributed.cluster import Cluster
from imgcls.errors import DataError
from imgcls.io import files
from imgcls.run import Run
from imgcls.training import model_file
from imgcls.training.checkpoint import Checkpoints, Counters


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
        earlier = []
        if self._run.environment_file.exists():
            previous = files.read_json(self._run.environment_file)
            earlier = [*previous.pop("earlier_starts"), previous]
        described = environment.describe(seed, devices, SWITCHES)
        files.write_json(
            self._run.environment_file,
            {**described, "workers": list(self._cluster.addresses), "earlier_starts": earlier},
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
        files.write_json(self._run.accumulation_steps_file, number)

    def restore(self, rows: int) -> Counters | None:
        """Load the newest whole state, if there is one, on the writing process alone.

        Args:
            rows: of a batch on each device, which `accumulation_steps.json` must divide.
        """
        restored = self._checkpoints.restore() if self.writes else None
        if restored is None or not self._run.accumulation_steps_file.exists():
            return restored
        asked = files.read_json(self._run.accumulation_steps_file)
        if type(asked) is not int or asked < 1 or rows % asked:
            raise DataError(
                f"{self._run.accumulation_steps_file} holds {asked!r}, which does not divide {rows}"
                " images; delete it"
            )
        restored.accumulation_steps = max(restored.accumulation_steps, asked)
        self.save(restored)
        self._run.accumulation_steps_file.unlink()
        return restored

    def save_best(self, epochs: list[dict[str, Any]]) -> None:
        """Keep the weights if the last epoch is the best so far."""
        if self.writes:
            self._checkpoints.save_best(epochs)

    def write_log(self, epochs: list[dict[str, Any]]) -> None:
        """Write the log anew: after a fall back to an older state, later epochs must go."""
        if self.writes:
            files.write_text(
                self._run.log_file,
                "".join(json.dumps(epoch, allow_nan=False) + "\n" for epoch in epochs),
            )

    def write_model(self, model: keras.Model, epochs: list[dict[str, Any]]) -> None:
        """Write the chosen weights as model.keras; for the last epoch's, the model's present
        ones.
        """
        if self.writes:
            self._checkpoints.load_selected(epochs)
            model_file.save_model(model_file.make_serving_model(model), self._run.model_file)
