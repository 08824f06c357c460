"""How a global batch is divided so that it fits the devices: among them, and into micro-batches.
Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.config import Experiment, Train
from imgcls.errors import Interrupted, OutOfMemoryError, UserError
from imgcls.io import terminal

if TYPE_CHECKING:
    import tensorflow as tf


def compute_local_batch_size(settings: Train, replicas: int, examples: int) -> int:
    """Return how many images of a batch a device gets; note a batch that is larger than the
    training split.

    Raises:
        UserError: the global batch does not divide among the devices, or a device's share not into
            micro-batches.
    """
    if settings.batch_size % replicas:
        raise UserError(
            f"train.batch_size is {settings.batch_size}, which does not divide among {replicas}"
            f" devices; use a multiple of {replicas}"
        )
    rows = settings.batch_size // replicas
    if settings.micro_batch_size and rows % settings.micro_batch_size:
        fitting = ", ".join(str(size) for size in range(1, rows + 1) if rows % size == 0)
        raise UserError(
            f"train.micro_batch_size is {settings.micro_batch_size}, which does not divide the"
            f" {rows} images a device gets; use one of {fitting}"
        )
    if settings.batch_size > examples:
        terminal.note(
            f"train.batch_size is {settings.batch_size}, but there are {examples} training images:"
            " every batch is filled up with images of weight 0, which costs time; lower it"
        )
    return rows


def count_accumulation_steps(settings: Train, rows: int) -> int:
    """Return into how many micro-batches a device's rows of a batch are divided at the start."""
    return rows // (settings.micro_batch_size or rows)


def note_batch_norm(experiment: Experiment, accumulation_steps: int) -> None:
    """Say so where batch norm sees less than a batch: its statistics, and so all numbers, are not
    those of whole batches.
    """
    if accumulation_steps > 1 and "batch norm" in experiment.model.get_layer_types():
        size = experiment.train.batch_size
        terminal.note(
            f"batches of {size} images are divided into {accumulation_steps} micro-batches, and the"
            f" batch norm of model {experiment.model.name} sees each, {size // accumulation_steps}"
            " images, by itself: the numbers differ from those of undivided batches"
        )


def increase_accumulation_steps(
    rows: int, present: int, error: "tf.errors.ResourceExhaustedError"
) -> int:
    """Return the least number of equal parts of `rows` rows that at least halves the micro-batch.

    Raises:
        OutOfMemoryError: a micro-batch holds one image already.
    """
    if present == rows:
        raise OutOfMemoryError(
            f"out of memory with one image at a time ({extract_reason(error)}); use a smaller model"
            " or data.size, or a device with more memory"
        )
    return next(number for number in range(min(2 * present, rows), rows + 1) if rows % number == 0)


def make_restart_error(error: "tf.errors.ResourceExhaustedError", size: int) -> Interrupted:
    """Return what ends a process of a cluster that ran out of memory: TensorFlow's collectives
    cannot go on after an error.
    """
    return Interrupted(
        f"out of memory on a worker ({extract_reason(error)}); start all workers again with the"
        f" same commands, to go on in micro-batches of {size}"
    )


def extract_reason(error: "tf.errors.ResourceExhaustedError") -> str:
    """Return TensorFlow's reason, without the name of the place in its graph."""
    lines = str(error.message).splitlines()
    return next((line for line in lines if "OOM" in line), lines[0]).partition("{{")[0].strip(" [")
