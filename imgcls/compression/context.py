"""What a method of compression works with. Light zone.

TensorFlow is imported when a network is evaluated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.config import Experiment
from imgcls.errors import DataError
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training.model_description import ModelDescription

if TYPE_CHECKING:
    import keras

    from imgcls.input.batches import Examples

FineTune = Callable[["keras.Model | None", Sequence[str], Path], Run]
"""Trains a network in a folder: see `Context.fine_tune`."""


class RunData:
    """The store and the split of a run, which are opened when a method first asks for them.

    Args:
        experiment: that of the run, perhaps with another `data.store_dir`.
    """

    def __init__(self, run: Run, experiment: Experiment):
        self._run, self._experiment = run, experiment

    @cached_property
    def opened(self) -> tuple[Store, Split]:
        """The store and the split.

        Raises:
            DataError: the store is missing or changed.
        """
        return lookup.open_run_store(self._run.data, self._experiment.data.store_dir)


@dataclass(frozen=True)
class Measured:
    """A network on the validation split.

    Attributes:
        loss: mean cross-entropy of the logits, in nats.
        accuracy: 0..1.
    """

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Context:
    """What a method works with.

    Attributes:
        model: the network, from uint8 images (batch, height, width, channels) to logits (batch,
            classes), before the temperature; what the method before returned, or the original's.
        serving: the same with temperature and softmax, from images to probabilities.
        original: the run that is compressed.
        result: the run that is made of it.
        experiment: that of the original, perhaps with another `data.store_dir`.
        description: of the original's model.
        method: the name of the method, for messages.
        number: that of the method in the chain, from 1.
    """

    model: "keras.Model"
    original: Run
    result: Run
    experiment: Experiment
    description: ModelDescription
    method: str
    number: int
    run_data: RunData
    train: FineTune
    _trainings: list[Path] = field(default_factory=list)

    @property
    def data(self) -> tuple[Store, Split]:
        """The store and the split of the original.

        Raises:
            DataError: the store is missing or changed.
        """
        try:
            return self.run_data.opened
        except DataError as error:
            raise DataError(f"method {self.method} needs the data of the run: {error}") from None

    def get_examples(self, split: str) -> "Examples":
        """Return the images and labels of a split: `train` or `validation`.

        Raises:
            DataError: the split has no images; and as `data`.
        """
        from imgcls.input.batches import make_examples

        store, assigned = self.data
        found = make_examples(store, assigned, "train" if split == "train" else "validation")
        if not len(found):
            raise DataError(
                f"method {self.method} needs images of the {split} split, which is empty; train a"
                " run that has some"
            )
        return found

    def evaluate(self, model: "keras.Model") -> Measured:
        """Return the results of a network on the validation split.

        Args:
            model: from uint8 images to logits.

        Raises:
            DataError: as `get_examples`.
        """
        from imgcls.compression.networks import measure_logits
        from imgcls.evaluation import inference

        examples = self.get_examples("validation")
        logits = inference.predict_outputs(
            model, examples.reader, examples.indices, self.experiment.train.batch_size
        )
        return Measured(*measure_logits(logits, examples.labels[examples.indices]))

    def fine_tune(
        self, model: "keras.Model | None", overrides: Sequence[str]
    ) -> "tuple[keras.Model, Run]":
        """Train a network in a run of its own, by the training loop of `imgcls train`.

        The run is a folder within the result. If it is there from a start that was interrupted, its
        training continues, and a finished one is loaded: so a method calls this function again in
        the same way, with the same network, after each start.

        Args:
            model: from uint8 images to logits, of layers that Keras loads without imgcls; None to
                train what the section `model` says.
            overrides: `KEY=VALUE`, which change the experiment of the original, such as
                `train.epochs=5`. With a network, what depends on the layers of another one, such as
                `train.freeze`, is left out unless it is given here.

        Returns:
            The trained network, from uint8 images to logits; and its run, for `Compressed.trained`.

        Raises:
            Interrupted: a signal stopped the training; its state is saved.
            DataError: as `data`.
        """
        from imgcls.compression.networks import load_logits

        _ = self.data
        self._trainings.append(self.result.training_folder(self.number, len(self._trainings) + 1))
        run = self.train(model, overrides, self._trainings[-1])
        return load_logits(run), run

    def follow(self, model: "keras.Model", method: str) -> "Context":
        """Return the context of the next method, for the network that this one returned."""
        return replace(self, model=model, method=method, number=self.number + 1, _trainings=[])
