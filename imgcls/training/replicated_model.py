"""The model on the devices of a strategy, with its optimizer and compiled steps. Heavy zone."""

import math
from contextlib import AbstractContextManager
from pathlib import Path

from imgcls.backend import keras, tf
from imgcls.config import Experiment
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import averaged_weights, build, layer_selection
from imgcls.training.batch_norm_statistics import BatchNormStatistics
from imgcls.training.class_weights import compute_class_weights
from imgcls.training.learning_rate_factors import compute_factors
from imgcls.training.phases import Phase
from imgcls.training.resized_model import share_layers
from imgcls.training.steps import Steps
from imgcls.training.teacher import Teacher


class ReplicatedModel:
    """An experiment's model with a replica on each device, and what trains it.

    Args:
        network: the file of a network to train; None to build that of the experiment.

    Attributes:
        phase: the phase of the training that the steps are compiled for; None before the first.
        model: from uint8 images (batch, height, width, channels) to logits (batch, classes).
        optimizer: with slots for all of the model's parameters.
        steps: the compiled steps; `compile_steps` makes them.
        batch_norm_statistics: of the layers that are trained; None if there are none.
        state_variables: those of the model that forward passes change in training mode, such as the
            moving averages of batch norm.

    Raises:
        UserError: the image size does not suit the model.
    """

    steps: Steps
    batch_norm_statistics: BatchNormStatistics | None
    phase: Phase | None = None

    def __init__(
        self,
        experiment: Experiment,
        store: Store,
        split: Split,
        strategy: tf.distribute.Strategy,
        network: Path | None = None,
    ):
        self._experiment = experiment
        self._strategy = strategy
        with strategy.scope():
            self.model = build.build_model(experiment, store.describe(split), network)
            self.optimizer, self._step_learning_rate = build.build_optimizer(experiment)
            self.optimizer.build(self.model.trainable_variables)
            self._teacher = self._load_teacher(store, split)
        self._class_weights = compute_class_weights(
            experiment.train, store.classes, store.labels[split.train]
        )
        factors = compute_factors(experiment.train, self.model)
        averaged_weights.get_inner_optimizer(self.optimizer).set_learning_rate_factors(factors)
        self.reset_averages()
        self._models = {tuple(self.model.input_shape[1:3]): self.model}
        self.state_variables = list(self.model.non_trainable_variables)
        self._trainable = [
            layer for layer in layer_selection.list_layers(self.model) if layer.trainable
        ]

    def _load_teacher(self, store: Store, split: Split) -> Teacher | None:
        """Load the teacher onto the devices, after the model, whose random weights stay the same.

        Raises:
            UserError, DataError: as `Teacher`.
        """
        settings = self._experiment.train.distillation
        if settings is None:
            return None
        teacher = Teacher(settings, store.classes, split.geometry)
        teacher.note_larger(self.model)
        return teacher

    def compile_steps(self, accumulation_steps: int) -> None:
        """Compile the steps for a number of micro-batches per device, when they are first run."""
        self.steps = Steps(
            self._strategy,
            self.model,
            self.optimizer,
            self._step_learning_rate,
            build.build_loss(self._experiment),
            accumulation_steps,
            self._experiment.train.jit_compile,
            self._class_weights,
            self._teacher,
        )
        if self.phase:
            self.steps.start_phase(self._models[self.phase.size])
        self._accumulation_steps = accumulation_steps
        self._start_statistics()

    def _start_statistics(self) -> None:
        """Compile the estimation of batch norm's statistics, when it is first run."""
        layers = [layer for layer in self.list_batch_norms() if layer.trainable]
        self.batch_norm_statistics = None
        if layers:
            self.batch_norm_statistics = BatchNormStatistics(
                self._strategy, self.model, layers, self._accumulation_steps
            )

    def list_batch_norms(self) -> list[keras.layers.BatchNormalization]:
        """Return the model's layers of batch norm."""
        layers = layer_selection.list_layers(self.model)
        return [each for each in layers if isinstance(each, keras.layers.BatchNormalization)]

    def prepare_phases(self, phases: list[Phase]) -> None:
        """Build the models for all sizes of images, and tell the optimizer what is frozen first.

        Raises:
            UserError: a layer needs inputs of a fixed size.
        """
        with self._strategy.scope():
            for size in {phase.size for phase in phases} - set(self._models):
                self._models[size] = share_layers(self.model, size)
        inner = averaged_weights.get_inner_optimizer(self.optimizer)
        ends = {id(variable): 0 for variable in self.model.trainable_variables}
        for phase in phases:
            frozen = [variable for layer in phase.frozen for variable in layer.variables]
            ends |= {id(variable): phase.end for variable in frozen if id(variable) in ends}
        variables = inner._trainable_variables
        inner.set_first_steps(variables, [ends[id(variable)] for variable in variables])

    def start_phase(self, phase: Phase) -> bool:
        """Freeze the layers of a phase; return whether the training steps must be compiled again.

        The optimizer keeps the slots of frozen layers, which do not change meanwhile.
        """
        if phase == self.phase:
            return False
        self.phase = phase
        frozen = set(map(id, phase.frozen))
        for layer in self._trainable:
            layer.trainable = id(layer) not in frozen
        self.steps.start_phase(self._models[phase.size])
        self._start_statistics()
        return True

    def count_trained_parameters(self) -> int:
        """Return the number of parameters that the steps of this phase train."""
        return sum(math.prod(variable.shape) for variable in self.model.trainable_variables)

    def unfreeze(self) -> None:
        """Let all layers be trainable, as they are before the first phase and in model.keras."""
        self.phase = None
        for layer in self._trainable:
            layer.trainable = True

    def reset_averages(self) -> None:
        """Let averages of the weights start from what they are now, before the first step."""
        averaged_weights.get_inner_optimizer(self.optimizer).reset_averages()

    def use_validated_weights(self) -> AbstractContextManager[None]:
        """Let the model have the weights that are validated and saved within the block."""
        return averaged_weights.use_validated_weights(self.model, self.optimizer)
