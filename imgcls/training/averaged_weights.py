"""The averages that are validated and saved in place of the trained weights. Heavy zone.

They are those of `train.ema`, or of an optimizer that averages the weights itself.
"""

import contextlib
from collections.abc import Iterator

from imgcls.backend import keras, tf
from imgcls.config import Experiment
from imgcls.io import terminal
from imgcls.optimizers._optimizer import Optimizer


def note_unsuitable(experiment: Experiment) -> None:
    """Print notes on what does not suit averaged weights."""
    settings = experiment.train
    averages = settings.optimizer.averages_weights
    if not averages and settings.ema is None:
        return
    what = f"optimizer {settings.optimizer.name}" if averages else "train.ema"
    if "batch norm" in experiment.model.get_layer_types() and not settings.precise_batch_norm:
        terminal.note(
            f"{what} averages the weights, but model {experiment.model.name} has batch norm, whose"
            " statistics are those of the weights that are trained; set train.precise_batch_norm:"
            " {batches: 64} to estimate them with the average"
        )
    if averages and settings.schedule.name != "constant":
        terminal.note(
            f"{what} is made for a constant learning rate, with a warm-up; train.schedule is"
            f" {settings.schedule.name}"
        )


def get_inner_optimizer(optimizer: keras.optimizers.Optimizer) -> Optimizer:
    """Return an optimizer without its loss scale."""
    inner: Optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    return inner


def get_validated_variables(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> list[keras.Variable]:
    """Return the variables whose values the model has within `use_validated_weights`, in its
    order. Those of frozen layers have no averages.
    """
    inner = get_inner_optimizer(optimizer)
    found = inner.get_averages()
    if found is None:
        return list(model.variables)
    pairs = zip(inner._trainable_variables, found, strict=True)
    averages = {id(variable): average for variable, average in pairs if variable.trainable}
    return [averages.get(id(variable), variable) for variable in model.variables]


@contextlib.contextmanager
def use_validated_weights(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Iterator[None]:
    """Swap the model's weights for their averages within the block.

    They stay the same without `train.ema` or an optimizer that averages them.
    """
    inner = get_inner_optimizer(optimizer)
    if inner.get_averages() is None:
        yield
        return
    # Copies on the device, where validation needs less memory than training.
    variables = inner._trainable_variables
    trained = [tf.identity(variable.value) for variable in variables]
    inner.finalize_variable_values(variables)
    for variable, value in zip(variables, trained, strict=True):
        if not variable.trainable:  # of a frozen layer, whose averages may not have begun
            variable.assign(value)
    try:
        yield
    finally:
        for variable, value in zip(variables, trained, strict=True):
            variable.assign(value)
