"""A dry run: two training steps of a run that is removed, and all that comes after them. Heavy
zone.
"""

import contextlib
import math
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy

from imgcls.backend import tf
from imgcls.config import Experiment
from imgcls.errors import DivergenceError, Interrupted, OutOfMemoryError, ProcessRestart
from imgcls.evaluation import inference
from imgcls.input.batches import Examples, make_examples
from imgcls.io.signals import StopRequest, keep_interrupts
from imgcls.rehearsal import scratch
from imgcls.run import Run
from imgcls.store.split_file import Split
from imgcls.store.store import Store
from imgcls.training import micro_batches, step_sums
from imgcls.training.plan import count_epochs, read_plan
from imgcls.training.trainer import Trainer

STEPS = 2
"""The training steps: the first one compiles, the second one shows how long others take."""


class _StopAfterSteps(StopRequest):
    """Requests a stop after `STEPS` training steps; it measures them.

    Attributes:
        seconds: of each step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def record_duration(self, work: str, seconds: float) -> None:
        """Record the time of training steps."""
        if work == "steps":
            self.seconds.append(seconds)

    @property
    def reason(self) -> str | None:
        """Why to stop; None to continue."""
        return "dry run" if len(self.seconds) >= STEPS else None


def run(experiment: Experiment, store: Store, split: Split) -> dict[str, Any]:
    """Do all that a training does, each once, in a temporary run.

    That is two training steps, one validation batch, writing and reading a checkpoint, and writing
    and loading model.keras.

    Returns:
        What the command prints.

    Raises:
        UserError, DataError, DivergenceError, OutOfMemoryError: as a training.
    """
    start = time.monotonic()
    changed = {"steps_per_execution": 1, "checkpoint": None, "time_limit": None}
    settings = experiment.train.model_copy(update=changed)
    adapted = experiment.model_copy(update={"train": settings})
    with keep_interrupts(), scratch.make_run(adapted) as folder, ExitStack() as stack:
        with _explain_out_of_memory():
            trainer = Trainer(folder, adapted, store, split)
        stack.callback(trainer.close)
        stop = _StopAfterSteps()
        with trainer.recorder.complete_writing():
            _train(trainer, stop)
        batch = _get_validation_batch(adapted, store, split)
        found = {
            **_describe(experiment, folder, trainer, store, split),
            **_estimate(experiment, folder, split, stop.seconds),
            **_validate(trainer, batch),
            **_reread_checkpoint(folder, adapted, trainer),
            **_reload_model(folder, adapted, trainer, store, batch),
        }
    return {**found, "peak_memory_mib": _measure_memory(), "seconds": time.monotonic() - start}


def _train(trainer: Trainer, stop: _StopAfterSteps) -> None:
    """Train until `stop` is reached, or to the end if that comes first."""
    try:
        with _explain_out_of_memory():
            trainer.train(stop)
    except Interrupted:
        if not stop.reason:
            raise


@contextlib.contextmanager
def _explain_out_of_memory() -> Iterator[None]:
    """Raise an `OutOfMemoryError` instead of asking for a new process, which would start anew."""
    try:
        yield
    except ProcessRestart as error:
        raise OutOfMemoryError(
            f"{error.reason}; set train.micro_batch_size, and run the same command again"
        ) from None
    except tf.errors.OpError as error:
        if not micro_batches.is_out_of_memory(error, is_single=True):
            raise
        raise micro_batches.make_building_error(error) from None


def _get_validation_batch(experiment: Experiment, store: Store, split: Split) -> Examples:
    """Return the first batch of the validation split, which may be empty."""
    examples = make_examples(store, split, "validation")
    return replace(examples, indices=examples.indices[: experiment.train.batch_size])


def _describe(
    experiment: Experiment, folder: Run, trainer: Trainer, store: Store, split: Split
) -> dict[str, Any]:
    settings, devices = experiment.train, folder.environment.devices
    trainable = trainer.model.trainable_variables
    accumulation_steps = folder.status.accumulation_steps
    return {
        "experiment": experiment.name,
        "classes": len(store.classes),
        "train_images": len(split.train),
        "validation_images": len(split.validation),
        "image_shape": list(split.geometry.shape),
        "parameters": trainer.model.count_params(),
        "trainable_parameters": sum(math.prod(each.shape) for each in trainable),
        "devices": devices,
        "precision": settings.precision,
        "batch_size": settings.batch_size,
        "micro_batch_size": settings.batch_size // (len(devices) * accumulation_steps),
        "accumulation_steps": accumulation_steps,
    }


def _estimate(
    experiment: Experiment, folder: Run, split: Split, seconds: list[float]
) -> dict[str, Any]:
    """Return how many steps the training has, and how long an epoch of them takes; there are none
    with `train.epochs: 0`.
    """
    plan = read_plan(folder)  # of train.budget
    epochs = plan.epochs if plan else count_epochs(experiment.train)
    steps = -(-len(split.train) // experiment.train.batch_size)
    step_seconds = seconds[-1] if len(seconds) == STEPS else None
    return {
        "epochs": epochs,
        "steps_per_epoch": steps,
        "total_steps": steps * epochs,
        "first_step_seconds": seconds[0] if seconds else None,
        "step_seconds": step_seconds,
        "epoch_seconds": None if step_seconds is None else steps * step_seconds,
    }


def _validate(trainer: Trainer, batch: Examples) -> dict[str, Any]:
    """Return loss and accuracy of the model on a batch; None if it has no images."""
    if not len(batch):
        return {"validation_batch_loss": None, "validation_batch_accuracy": None}
    loss, accuracy = step_sums.compute_means(trainer.evaluate(batch))
    if not math.isfinite(loss):
        raise DivergenceError(
            f"the validation loss is {loss} after {STEPS} steps; lower"
            " train.optimizer.learning_rate, or add a warm-up to train.schedule"
        )
    return {"validation_batch_loss": loss, "validation_batch_accuracy": accuracy}


def _reread_checkpoint(folder: Run, experiment: Experiment, trainer: Trainer) -> dict[str, Any]:
    """Restore the checkpoint that was written; return its size and the seconds of reading it."""
    status = folder.status
    size = folder.state_file(status.step).stat().st_size
    local_batch_size = experiment.train.batch_size // len(folder.environment.devices)
    start = time.monotonic()
    counters = trainer.recorder.restore(local_batch_size)
    if counters is None or counters.step != status.step:
        raise ValueError(f"the checkpoint of step {status.step} was not restored: {counters}")
    return {
        "checkpoint_mb": size / 1e6,
        "checkpoint_write_seconds": trainer.recorder.max_write_seconds,
        "checkpoint_read_seconds": time.monotonic() - start,
    }


def _reload_model(
    folder: Run, experiment: Experiment, trainer: Trainer, store: Store, batch: Examples
) -> dict[str, Any]:
    """Write model.keras, load it, and predict a batch with it."""
    start = time.monotonic()
    trainer.recorder.write_model(trainer.model, [], store, batch)
    seconds = time.monotonic() - start
    if len(batch):
        (probabilities,) = inference.predict(
            folder.model_file,
            [batch.reader],
            batch.indices,
            experiment.train.batch_size,
            experiment.train.precision,
            store.classes,
            store.fingerprint,
        )
        if not numpy.allclose(probabilities.sum(axis=1), 1, atol=1e-3):
            raise ValueError("the probabilities of model.keras do not add up to 1")
    return {
        "model_mb": folder.model_file.stat().st_size / 1e6,
        "model_write_seconds": seconds,
        "model_load_seconds": time.monotonic() - start - seconds,
    }


def _measure_memory() -> dict[str, float]:
    """Return the largest memory so far, in MiB: of the process, and of each GPU."""
    host = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB
    gpus = {
        device.name.removeprefix("/device:"): tf.config.experimental.get_memory_info(
            device.name.removeprefix("/device:")
        )["peak"]
        / 2**20
        for device in tf.config.list_logical_devices("GPU")
    }
    return {"host": host, **gpus}
