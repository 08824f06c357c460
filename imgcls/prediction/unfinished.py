"""The model of a run that is not finished: its best weights so far, from its checkpoints. Heavy
zone.
"""

from pathlib import Path

import numpy

from imgcls.backend import keras
from imgcls.errors import DataError
from imgcls.io import terminal
from imgcls.run import Run
from imgcls.run_lookup import format_command
from imgcls.training import build, checkpoint_file, history, model_file, precision
from imgcls.training.checkpoint_file import CorruptError, StateHeader

State = tuple[Path, StateHeader, list[numpy.ndarray]]
"""A checkpoint: its file, its header, and the values of its variables."""


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
    path, header, _ = state
    assert header.counters is not None
    epochs, settings = header.counters.epochs, run.experiment.train
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
            described = f"step {run.get_step(path):,}, after {len(epochs)} complete epochs"
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
            return path, header, list(arrays.values())
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
    path, header, arrays = state
    with terminal.silence():  # training has printed the same notes
        optimizer, _ = build.build_optimizer(run.experiment)
    optimizer.build(model.trainable_variables)
    by_path = dict(zip(header.paths, arrays, strict=True))
    wanted = [each.path for each in build.get_validated_variables(model, optimizer)]
    if missing := [name for name in wanted if name not in by_path]:
        raise DataError(
            f"{path} has no variable {missing[0]}, which this model has; was imgcls changed? Train"
            " a new run"
        )
    model.set_weights([by_path[name] for name in wanted])
