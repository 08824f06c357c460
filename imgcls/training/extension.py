"""Continuing a run for more epochs than it was started with. Light zone.

If nothing depends on the length of the training, the epochs that are done are those that a longer
run would have begun with, to the bit: only then can `train.epochs` be raised.
"""

import re
from typing import Any

from imgcls.config import Experiment
from imgcls.errors import UserError
from imgcls.experiment_file import flatten
from imgcls.io import files, terminal
from imgcls.run import Run
from imgcls.training.resume import require_same_experiment

_KEY = "train.epochs"


def is_longer(earlier: Experiment, experiment: Experiment) -> bool:
    """Return whether an experiment is another one with more epochs."""
    epochs = earlier.train.epochs, experiment.train.epochs
    if epochs[0] is None or epochs[1] is None or not 0 < epochs[0] < epochs[1]:
        return False
    there, here = flatten(earlier.identity()), flatten(experiment.identity())
    return all(there.get(key) == here.get(key) for key in {**there, **here} if key != _KEY)


def require_continuable(run: Run, experiment: Experiment) -> None:
    """Check that a run is of this experiment, or can be trained for its larger number of epochs.

    Raises:
        UserError: it is not; the error says what differs, or what depends on the number of epochs.
    """
    earlier = run.experiment
    if not is_longer(earlier, experiment):
        require_same_experiment(run.folder, earlier, experiment)
        return
    reasons = _list_dependent(experiment)
    if reasons:
        raise UserError(
            f"--run {run.folder} was started with {_KEY} {earlier.train.epochs}, which cannot be"
            f" raised to {experiment.train.epochs}: {', '.join(reasons)} depends on the number of"
            " epochs; train a new run with another --run, which can start from this one's weights"
            f" (model.weights: {run.folder})"
        )


def _list_dependent(experiment: Experiment) -> list[str]:
    """Return the settings by which an epoch depends on how many there will be."""
    schedule = experiment.train.schedule.name
    found = [] if schedule == "constant" else [f"train.schedule {schedule}"]
    settings: dict[str, Any] = flatten(experiment.identity())
    return found + [
        f"{key} {value}"
        for key, value in settings.items()
        if isinstance(value, str) and re.fullmatch(r"[0-9.]+%", value)
    ]


def extend(run: Run, experiment: Experiment) -> None:
    """Write the experiment of a run that is trained for more epochs; the caller holds its lock."""
    earlier = run.experiment
    if is_longer(earlier, experiment):
        terminal.note(
            f"{run.folder} continues to epoch {experiment.train.epochs}; it was started with"
            f" {_KEY} {earlier.train.epochs}"
        )
        files.write_text(run.config_file, experiment.to_yaml())
