"""Training steps without a run: no checkpoint, no log. Heavy zone."""

import gc
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

import numpy

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.distributed.cluster import SINGLE_PROCESS
from imgcls.errors import OutOfMemoryError
from imgcls.evaluation import inference
from imgcls.input.batches import SequentialBatches, ShuffledBatches, open_training_examples
from imgcls.input.iterators import BatchIterator, open_iterator
from imgcls.io import terminal
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import build, history, micro_batches, model_file, step_sums
from imgcls.training.budget import TRIAL_EPOCHS
from imgcls.training.phases import plan_phases
from imgcls.training.plan import apply_plan, count_epochs
from imgcls.training.replicated_model import ReplicatedModel
from imgcls.transfer.initialization import find_initializer

Result = TypeVar("Result")


class ShortTraining:
    """A new model, and steps that train and evaluate it as in the first phase of a training.

    It has the weights that a run starts from.

    Attributes:
        steps_per_epoch: training steps of an epoch.
        accumulation_steps: micro-batches per device and step.
        replicated: the model, with its optimizer.

    Raises:
        UserError: the batch size does not suit the devices, or the image size the model.
    """

    def __init__(self, experiment: Experiment, store: Store, split: Split, stack: ExitStack):
        if experiment.train.budget:
            experiment = apply_plan(experiment, TRIAL_EPOCHS)
        settings = experiment.train
        self._settings = settings
        self._examples, self._validation = open_training_examples(
            store, split, settings.data_workers
        )
        stack.callback(self._examples.reader.close)
        self._strategy = build.build_strategy(settings, SINGLE_PROCESS)
        replicas = self._strategy.num_replicas_in_sync
        build.set_up_process(experiment)
        local_batch_size = micro_batches.compute_local_batch_size(
            settings, replicas, len(self._examples)
        )
        self.replicated = ReplicatedModel(experiment, store, split, self._strategy)
        initialize = find_initializer(self.replicated.model, experiment, store, split, None)
        if initialize:
            initialize()
            self.replicated.reset_averages()
        self.accumulation_steps = micro_batches.count_accumulation_steps(settings, local_batch_size)
        self.replicated.compile_steps(self.accumulation_steps)
        batches = ShuffledBatches(self._examples, experiment, len(store.classes), replicas)
        self.steps_per_epoch = batches.steps_per_epoch
        total_steps = max(count_epochs(settings), 1) * self.steps_per_epoch
        phases = plan_phases(settings, self.replicated.model, total_steps, self.steps_per_epoch)
        self.replicated.prepare_phases(phases)
        self.replicated.start_phase(phases[0])
        self._training = self._open_iterator(batches, stack)
        self._evaluation = None
        if len(self._validation):
            validation = SequentialBatches(self._validation, settings.batch_size)
            self._evaluation = self._open_iterator(validation, stack)

    def _open_iterator(self, batches: SequentialBatches, stack: ExitStack) -> BatchIterator:
        splits, cache = (self._examples, self._validation), self._settings.device_cache_mib
        return stack.enter_context(
            open_iterator(batches, self._strategy, splits, cache, 0, _make_stages())
        )

    def train(self, step: int, learning_rates: numpy.ndarray) -> numpy.ndarray:
        """Train for one step with each of the learning rates, from `step` on.

        Returns:
            The sums over these steps, float64 (ENTRIES,); see step_sums.py.
        """
        zeros = step_sums.make_zeros()
        return self.replicated.steps.train(self._training, step, learning_rates, zeros)

    def evaluate(self) -> tuple[float, float]:
        """Return loss and accuracy on the validation split, which has images."""
        if self._evaluation is None:
            raise ValueError("there are no validation images")
        count = self._validation.count_batches(self._settings.batch_size)
        with self.replicated.use_validated_weights():
            sums = self.replicated.steps.evaluate(self._evaluation, count)
        return step_sums.compute_means(sums)

    def find_wrong_images(self) -> numpy.ndarray:
        """Return the indices of the validation images that are classified wrongly, int64 (n,)."""
        with self.replicated.use_validated_weights():
            plain = model_file.make_plain_model(self.replicated.model)
        images = self._validation
        logits = inference.predict_outputs(
            plain, images.reader, images.indices, self._settings.batch_size
        )
        return images.indices[logits.argmax(axis=1) != images.labels[images.indices]]


def _make_stages() -> dict[str, float]:
    return dict.fromkeys(history.STAGES, 0.0)


def run_with_less_memory(experiment: Experiment, work: Callable[[Experiment], Result]) -> Result:
    """Do some work; if memory runs out, do it again from its start with smaller micro-batches.

    Args:
        work: takes the experiment, and builds all that it needs anew.

    Raises:
        OutOfMemoryError: a micro-batch holds one image already, or the model does not fit, or a
            GPU's library had no memory, after which this process cannot continue.
    """
    while True:
        try:
            return work(experiment)
        except tf.errors.OpError as error:
            if not micro_batches.is_out_of_memory(error, is_single=True):
                raise
            experiment = _divide_batches(experiment, error)
        gc.collect()  # frees the failed functions, and the images they hold on the devices


def _divide_batches(experiment: Experiment, error: "tf.errors.OpError") -> Experiment:
    settings = experiment.train
    replicas = max(1, len(build.build_strategy(settings, SINGLE_PROCESS).extended.worker_devices))
    local_batch_size = settings.batch_size // replicas
    current = micro_batches.count_accumulation_steps(settings, local_batch_size)
    number = micro_batches.increase_accumulation_steps(local_batch_size, current, error)
    size = local_batch_size // number
    if micro_batches.is_library_failure(error):
        raise OutOfMemoryError(
            f"out of memory ({micro_batches.extract_reason(error)}); run the same command again"
            f" with --set train.micro_batch_size={size}"
        ) from None
    terminal.note(f"out of memory; starting again with micro-batches of {size}")
    return micro_batches.set_micro_batch_size(experiment, size)
