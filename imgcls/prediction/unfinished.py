"""The model of a run that is not finished: its best weights so far, from its checkpoints. Heavy
zone.
"""

from pathlib import Path
from typing import NamedTuple

import numpy

from imgcls.backend import keras
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.run import Run
from imgcls.run_lookup import format_command
from imgcls.training import (
    averaged_weights,
    build,
    checkpoint_file,
    history,
    model_file,
    precision,
)
from imgcls.training.checkpoint_file import CorruptError
from imgcls.training.counters import Counters


class State(NamedTuple):
    """A checkpoint that was read.

    Attributes:
        path: the file.
        counters: the training state outside the variables.
        arrays: the values of the variables, by their paths.
    """

    path: Path
    counters: Counters
    arrays: dict[str, numpy.ndarray]


def build_best_model(run: Run) -> tuple[keras.Model, str]:
    """Build the model of a run with the best weights that its checkpoints have.

    These are those of the best epoch so far, or else of the newest checkpoint, if
    `train.select_weights` asks for the last epoch, or no epoch is complete.

    Returns:
        A model from uint8 images to probabilities, as model.keras will be, but without
        calibration; and what its weights are, in a phrase.

    Raises:
        DataError: the run has no checkpoint of a trained model, or it is damaged.
    """
    state = _read_newest_state(run)
    epochs, settings = state.counters.epochs, run.experiment.train
    policy = keras.config.dtype_policy()
    keras.backend.clear_session()  # so that layers have the names that they have in checkpoints
    keras.config.set_dtype_policy(precision.get_dtype_policy(settings.precision))
    try:
        model = build.build_model(run.experiment, run.data, run.find_network())
        if kept := history.rank_kept_epochs(epochs, settings):
            checkpoint_file.load(run.best_weights_file(kept[0]), model.variables)
            described = f"epoch {kept[0]}, the best of {len(epochs)} so far"
        else:
            _load_validated(model, run, state)
            described = f"step {state.counters.step:,}, after {len(epochs)} complete epochs"
        return model_file.make_serving_model(model_file.make_plain_model(model), 1.0), described
    finally:
        keras.config.set_dtype_policy(policy)


def _read_newest_state(run: Run) -> State:
    """Return the newest intact checkpoint after the first step."""
    damaged: CorruptError | None = None
    for path in run.state_files():
        try:
            header, arrays = checkpoint_file.read(path)
        except CorruptError as error:
            terminal.note(f"{path} is damaged ({error.reason}); trying the previous one")
            damaged = damaged or error
            continue
        if header.counters is not None and header.counters.step:
            by_path = dict(zip(header.paths, arrays.values(), strict=True))
            return State(path, header.counters, by_path)
    if damaged:
        raise damaged
    raise DataError(
        f"{run.folder} is {run.status.status}, and has no checkpoint of a trained model to predict"
        f" with; run `{format_command(run)}` first"
    )


def _load_validated(model: keras.Model, run: Run, state: State) -> None:
    """Load the weights of a checkpoint that are validated: averages, where an optimizer has them.

    Raises:
        DataError: the checkpoint belongs to a different model or optimizer.
    """
    with terminal.silence():  # training has printed the same notes
        optimizer, _ = build.build_optimizer(run.experiment)
    optimizer.build(model.trainable_variables)
    wanted = [each.path for each in averaged_weights.get_validated_variables(model, optimizer)]
    if missing := [name for name in wanted if name not in state.arrays]:
        raise DataError(
            f"{state.path} has no variable {missing[0]}, which this model has; was imgcls changed?"
            " Train a new run"
        )
    model.set_weights([state.arrays[name] for name in wanted])
