"""From an experiment to an untrained model and its optimizer. Heavy zone."""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial

from imgcls import parts
from imgcls.backend import keras, tf
from imgcls.config import Experiment
from imgcls.models import Problem
from imgcls.seeds import derive_seed
from imgcls.store.split_file import Split
from imgcls.store.store import Store


def set_up_process(experiment: Experiment) -> None:
    """Set what holds for the whole process: the seed of initial weights, deterministic kernels if
    wanted, and the dtype policy.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(derive_seed(experiment.seed, "init"))
    if experiment.train.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.config.set_dtype_policy(experiment.train.precision)


def build_model(experiment: Experiment, store: Store, split: Split) -> keras.Model:
    """Return the untrained model, from uint8 images to logits."""
    problem = Problem(
        classes=len(store.classes),
        mean=split.mean.tolist(),
        std=split.std.tolist(),
        dropout_seed=derive_seed(experiment.seed, "dropout"),
    )
    images = keras.Input(split.geometry.shape, dtype="uint8", name="images")
    return keras.Model(
        images, parts.load_for("models", experiment.model).build(experiment.model, images, problem)
    )


class ScaledLearningRate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule times a factor that training may lower, when it diverged.

    Attributes:
        factor: float32 scalar variable; part of the training state.
    """

    def __init__(self, rate: float | keras.optimizers.schedules.LearningRateSchedule):
        self._rate = rate
        self.factor = keras.Variable(
            1.0, trainable=False, dtype="float32", name="learning_rate_factor"
        )

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Return the learning rate of a step, from 0."""
        rate = self._rate(step) if callable(self._rate) else self._rate
        return tf.cast(rate, tf.float32) * self.factor

    def after(self, updates: int) -> float:
        """Return the learning rate of the step after so many updates; steps that the loss scale
        skipped are none.
        """
        return float(self(updates))

    def lower(self, factor: float) -> None:
        """Multiply the rate of all later steps by a factor."""
        self.factor.assign(self.factor * factor)


def build_optimizer(
    experiment: Experiment, steps: int
) -> tuple[keras.optimizers.Optimizer, ScaledLearningRate]:
    """Return the optimizer and its learning rate.

    The loss scale is put around it here: Keras's automatic one is lost when a model is loaded under
    a float32 policy.
    """
    settings = experiment.train
    rate = ScaledLearningRate(
        parts.load_for("schedules", settings.schedule).build(
            settings.schedule, settings.optimizer.learning_rate, steps, steps // settings.epochs
        )
    )
    optimizer = parts.load_for("optimizers", settings.optimizer).build(settings.optimizer, rate)
    if settings.ema:
        optimizer.use_ema, optimizer.ema_momentum = True, settings.ema.decay
    return (
        keras.optimizers.LossScaleOptimizer(optimizer)
        if settings.precision == "mixed_float16"
        else optimizer
    ), rate


def build_loss(experiment: Experiment) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return the function from targets and logits to the loss of each row."""
    settings = experiment.train.loss
    return partial(parts.load_for("losses", settings).compute, settings)


@contextlib.contextmanager
def use_averaged_weights(
    model: keras.Model, optimizer: keras.optimizers.Optimizer
) -> Iterator[None]:
    """Give the model its averaged weights while the block runs, where the optimizer keeps an
    average; then the trained ones again.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not inner.use_ema:
        yield
        return
    trained = [variable.value.numpy() for variable in model.trainable_variables]
    inner.finalize_variable_values(model.trainable_variables)
    try:
        yield
    finally:
        for variable, value in zip(model.trainable_variables, trained, strict=True):
            variable.assign(value)
