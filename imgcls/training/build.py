"""Builds an experiment's model, optimizer, schedule and loss. Heavy zone."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy

from imgcls import environment_variables, parts
from imgcls.backend import keras, tf
from imgcls.config import Experiment
from imgcls.device import choice
from imgcls.distributed.cluster import Cluster
from imgcls.environment import read_cpu_features
from imgcls.io import terminal
from imgcls.models import Problem
from imgcls.models._dropout import register_rows
from imgcls.seeds import derive_seed
from imgcls.store.manifest import DataDescription
from imgcls.train_config import Train
from imgcls.training import averaged_weights, precision
from imgcls.training.network_file import load_network
from imgcls.training.plan import count_epochs


def build_strategy(settings: Train, cluster: Cluster) -> tf.distribute.Strategy:
    """Choose the devices of this process, limit their memory, and return the strategy.

    Raises:
        UserError: TensorFlow cannot use the GPUs, or the devices that are asked for do not exist.
    """
    choice.prepare_gpus(settings.strategy.get_device(), settings.gpu_memory)
    return parts.load_for("strategies", settings.strategy).build(settings.strategy, cluster)


def set_up_process(experiment: Experiment) -> None:
    """Set the global state of Keras and TensorFlow: random seed, determinism and precision."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(derive_seed(experiment.seed, "init"))
    if experiment.train.deterministic:
        tf.config.experimental.enable_op_determinism()
        environment_variables.turn_off_nvlink_sharp()
    precision.set_float32_mode(experiment.train.precision)
    if not tf.config.get_visible_devices("GPU"):
        precision.note_unsuitable_for_cpu(experiment.train.precision, read_cpu_features())
    keras.config.set_dtype_policy(precision.get_dtype_policy(experiment.train.precision))


def build_model(
    experiment: Experiment, data: DataDescription, network: Path | None = None
) -> keras.Model:
    """Build the untrained model for the data that it is trained on.

    Args:
        network: the file of a network to train; None to build that of the experiment.

    Returns:
        A model from uint8 images (batch, height, width, channels) to logits (batch, classes).
    """
    if network:
        return register_rows(load_network(network))
    problem = Problem(
        classes=len(data.classes),
        mean=data.mean,
        std=data.std,
        dropout_seed=derive_seed(experiment.seed, "dropout"),
    )
    images = keras.Input(data.shape, dtype="uint8", name="images")
    logits = parts.load_for("models", experiment.model).build(experiment.model, images, problem)
    return register_rows(keras.Model(images, logits))


class StepLearningRate:
    """The learning rate of the training step that is being traced, an input of the compiled steps.

    Keras's optimizers call it where they update variables.

    Attributes:
        value: float32 scalar; float64 if the variables are.
    """

    value: tf.Tensor

    def __call__(self) -> tf.Tensor:
        """Return the learning rate."""
        return self.value


def build_optimizer(
    experiment: Experiment,
) -> tuple[keras.optimizers.Optimizer, StepLearningRate]:
    """Build the optimizer, and the learning rate that it takes.

    Under float16, the optimizer is wrapped in a loss scale here. The one that Keras adds by itself
    is lost when a model is loaded under a float32 policy.
    """
    settings = experiment.train
    averaged_weights.note_unsuitable(experiment)
    learning_rate = StepLearningRate()
    optimizer = parts.load_for("optimizers", settings.optimizer).build(
        settings.optimizer, learning_rate
    )
    optimizer.global_clipnorm = settings.global_clipnorm
    if settings.ema:
        optimizer.use_ema, optimizer.ema_momentum = True, settings.ema.decay
    if settings.precision == "mixed_float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer, learning_rate


def compute_peak(settings: Train) -> float:
    """Return the learning rate at the peak of the schedule, for the size of the batches.

    Prints a note if that is not the optimizer's.
    """
    given, scaling = settings.optimizer.learning_rate, settings.learning_rate_scaling
    if scaling is None:
        return given
    peak = given * scaling.compute_factor(settings.batch_size)
    terminal.note(
        f"train.learning_rate_scaling: the learning rate {given:g} is for batches of"
        f" {scaling.batch_size} images; with {settings.batch_size}, it is {peak:.6g}"
        f" ({scaling.rule})"
    )
    return peak


def build_schedule(experiment: Experiment, total_steps: int) -> Callable[[int, int], numpy.ndarray]:
    """Return a function of a step, counted from 0, and a number n of steps from there.

    It returns the learning rate of each of these steps, float64 (n,).

    Args:
        total_steps: of the whole training.

    Raises:
        UserError: the schedule does not suit the number of steps.
    """
    settings = experiment.train
    part, peak = parts.load_for("schedules", settings.schedule), compute_peak(settings)
    steps_per_epoch = total_steps // max(count_epochs(settings), 1)

    def compute(step: int, count: int) -> numpy.ndarray:
        steps = numpy.arange(step, step + count)
        return part.compute(settings.schedule, peak, steps, total_steps, steps_per_epoch)

    if total_steps:  # a training of 0 epochs has no learning rate
        compute(0, 1)
    return compute


def build_loss(experiment: Experiment) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Return a function of targets and logits that computes the loss of each row."""
    settings = experiment.train.loss
    return partial(parts.load_for("losses", settings).compute, settings)
