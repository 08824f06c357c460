"""The model on the devices of a strategy, with its optimizer and compiled steps. Heavy zone."""

from contextlib import AbstractContextManager

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import build
from imgcls.training.class_weights import compute_class_weights
from imgcls.training.learning_rate_factors import compute_factors
from imgcls.training.steps import Steps


class ReplicatedModel:
    """An experiment's model with a replica on each device, and what trains it.

    Attributes:
        model: from uint8 images (batch, height, width, channels) to logits (batch, classes).
        optimizer: with slots for all of the model's parameters.
        steps: the compiled steps; `compile_steps` makes them.

    Raises:
        UserError: the image size does not suit the model.
    """

    steps: Steps

    def __init__(
        self, experiment: Experiment, store: Store, split: Split, strategy: tf.distribute.Strategy
    ):
        self._experiment = experiment
        self._strategy = strategy
        with strategy.scope():
            self.model = build.build_model(experiment, store, split)
            self.optimizer, self._step_learning_rate = build.build_optimizer(experiment)
            self.optimizer.build(self.model.trainable_variables)
        self._class_weights = compute_class_weights(
            experiment.train, store.classes, store.labels[split.train]
        )
        factors = compute_factors(experiment.train, self.model)
        build.get_inner_optimizer(self.optimizer).set_learning_rate_factors(factors)
        self.reset_averages()

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
        )

    def reset_averages(self) -> None:
        """Let averages of the weights start from what they are now, before the first step."""
        build.get_inner_optimizer(self.optimizer).reset_averages()

    def use_validated_weights(self) -> AbstractContextManager[None]:
        """Let the model have the weights that are validated and saved within the block."""
        return build.use_validated_weights(self.model, self.optimizer)
