"""Division of a global batch into local batches and micro-batches. Light zone."""

import re
from typing import TYPE_CHECKING

from imgcls.config import Experiment
from imgcls.errors import Interrupted, OutOfMemoryError, UserError
from imgcls.io import terminal
from imgcls.train_config import Train

if TYPE_CHECKING:
    import tensorflow as tf


def compute_local_batch_size(settings: Train, replicas: int, examples: int) -> int:
    """Return the number of images of a batch on each device.

    Prints a note if the batch is larger than the training split.

    Args:
        replicas: number of devices.
        examples: number of training images.

    Raises:
        UserError: the global batch does not divide evenly among the devices, or a local batch not
            into micro-batches.
    """
    if settings.batch_size % replicas:
        raise UserError(
            f"train.batch_size is {settings.batch_size}, which is not a multiple of the"
            f" {replicas} devices; use one that is"
        )
    local_batch_size = settings.batch_size // replicas
    if settings.micro_batch_size and local_batch_size % settings.micro_batch_size:
        divisors = [size for size in range(1, local_batch_size + 1) if local_batch_size % size == 0]
        raise UserError(
            f"train.micro_batch_size is {settings.micro_batch_size}, which does not divide the"
            f" {local_batch_size} images per device; use one of {', '.join(map(str, divisors))}"
        )
    if settings.batch_size > examples:
        terminal.note(
            f"train.batch_size is {settings.batch_size}, but there are {examples} training images:"
            " every batch is padded with images of weight 0, which costs time; lower it"
        )
    return local_batch_size


def count_accumulation_steps(settings: Train, local_batch_size: int) -> int:
    """Return the number of micro-batches per local batch with which training starts."""
    return local_batch_size // (settings.micro_batch_size or local_batch_size)


def note_batch_norm(experiment: Experiment, accumulation_steps: int) -> None:
    """Print a note if batch norm computes its statistics over micro-batches.

    The results then differ from those with undivided batches.
    """
    if accumulation_steps > 1 and "batch norm" in experiment.model.get_layer_types():
        size = experiment.train.batch_size
        terminal.note(
            f"batches of {size} images are divided into {accumulation_steps} micro-batches, and"
            f" model {experiment.model.name} has batch norm, which computes its statistics over the"
            f" {size // accumulation_steps} images of each: results differ from those of undivided"
            " batches"
        )


def is_out_of_memory(error: "tf.errors.OpError", is_single: bool) -> bool:
    """Return whether an error says that a device of this process ran out of memory.

    If one of several replicas does, another one's error may come first: that its collective
    operations were aborted because of it.

    Args:
        is_single: whether this process trains alone.
    """
    from imgcls.backend import tf

    if isinstance(error, tf.errors.ResourceExhaustedError):
        return True
    return is_single and re.search(r"Collective ops is aborted by:.*OOM", str(error)) is not None


def increase_accumulation_steps(
    local_batch_size: int, current: int, error: "tf.errors.OpError"
) -> int:
    """Return the smallest number of accumulation steps that at least halves the micro-batch.

    Args:
        current: the number of accumulation steps with which memory ran out.
        error: what TensorFlow raised.

    Raises:
        OutOfMemoryError: a micro-batch holds one image already.
    """
    if current == local_batch_size:
        raise OutOfMemoryError(
            f"out of memory with one image at a time ({extract_reason(error)}); use a smaller model"
            " or data.size, or a device with more memory"
        )
    candidates = range(min(2 * current, local_batch_size), local_batch_size + 1)
    return next(number for number in candidates if local_batch_size % number == 0)


def make_restart_error(error: "tf.errors.OpError", size: int) -> Interrupted:
    """Return the error for a worker of a cluster that ran out of memory.

    TensorFlow's collectives cannot continue after an error, so all workers must start again.

    Args:
        size: the smaller micro-batch size, for the next start.
    """
    return Interrupted(
        f"out of memory on a worker ({extract_reason(error)})",
        f"start all workers again with the same commands to continue with micro-batches of {size}",
    )


def extract_reason(error: "tf.errors.OpError") -> str:
    """Return the reason from a TensorFlow error, without the name of the graph node."""
    lines = str(error.message).splitlines()
    return next((line for line in lines if "OOM" in line), lines[0]).partition("{{")[0].strip(" [")
