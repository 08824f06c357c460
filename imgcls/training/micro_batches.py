"""Division of a global batch into local batches and micro-batches. Light zone."""

import re
from typing import TYPE_CHECKING

from imgcls.config import Experiment
from imgcls.errors import Interrupted, OutOfMemoryError, ProcessRestart, UserError
from imgcls.io import terminal
from imgcls.train_config import Train

if TYPE_CHECKING:
    import tensorflow as tf

LIBRARY_FAILURES = (
    # TensorFlow's convolution kernels, when cuDNN has no memory to try any algorithm (issues 43174
    # and 45068 of tensorflow/tensorflow); NotFoundError.
    "No algorithm worked!",
    # xla/stream_executor/cuda/cuda_dnn.cc, with cuDNN's status (issue 60713); UnknownError or
    # InternalError.
    *("CUDNN_STATUS_ALLOC_FAILED", "CUDNN_STATUS_INTERNAL_ERROR"),
    *("CUDNN failed to allocate the scratch space", "DNN library initialization failed"),
    "Failed to allocate memory for convolution redzone",
    # xla/stream_executor/cuda/cuda_blas.cc with cuBLAS's status, and the users of its handle.
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED"),
    *("failed to create cublas handle", "Failed to create cuBlas instance"),
    *("Failed to initialize BLAS support", "No BLAS support in stream"),
    # xla/stream_executor/cuda, from the driver's cuGetErrorName; and NCCL's own allocations.
    *("CUDA_ERROR_OUT_OF_MEMORY", "Cuda failure 2 'out of memory'"),
)
"""Texts of errors that a GPU's libraries raise when there is no memory left for them: each is in
TensorFlow 2.21's library or comes from the library that it names.
"""


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


def set_micro_batch_size(experiment: Experiment, size: int) -> Experiment:
    """Return an experiment with another `train.micro_batch_size`."""
    settings = experiment.train.model_copy(update={"micro_batch_size": size})
    return experiment.model_copy(update={"train": settings})


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

    if isinstance(error, tf.errors.ResourceExhaustedError) or is_library_failure(error):
        return True
    return is_single and re.search(r"Collective ops is aborted by:.*OOM", str(error)) is not None


def is_library_failure(error: "tf.errors.OpError") -> bool:
    """Return whether a library of the GPU had no memory, after which it cannot be relied on."""
    return any(text in str(error) for text in LIBRARY_FAILURES)


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


def make_building_error(error: "tf.errors.OpError") -> OutOfMemoryError:
    """Return the error for a model that does not fit the device."""
    return OutOfMemoryError(
        f"out of memory while building the model ({extract_reason(error)}); use a smaller model"
    )


def make_restart_error(error: "tf.errors.OpError", size: int, is_single: bool) -> Interrupted:
    """Return the error for a process that ran out of memory, and cannot continue itself.

    TensorFlow's collectives cannot continue after an error, so all workers of a cluster must start
    again.

    Args:
        size: the smaller micro-batch size, for the next start.
        is_single: whether this process trains alone.
    """
    if is_single:
        return ProcessRestart(
            f"out of memory ({extract_reason(error)}), with micro-batches of {size} from now on",
            "run the same command again to continue",
        )
    return Interrupted(
        f"out of memory on a worker ({extract_reason(error)})",
        f"start all workers again with the same commands to continue with micro-batches of {size}",
    )


def extract_reason(error: "tf.errors.OpError") -> str:
    """Return the reason from a TensorFlow error, without the name of the graph node."""
    lines = str(error.message).splitlines()
    telling = [line for line in lines if any(text in line for text in ("OOM", *LIBRARY_FAILURES))]
    return (telling or lines)[0].partition("{{")[0].strip(" [")
