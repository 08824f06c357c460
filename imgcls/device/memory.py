"""How much of a GPU's memory this process may allocate. Light zone."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from imgcls.device.usable import UsableGpu
from imgcls.errors import UserError
from imgcls.io import terminal

GpuMemory = float | Literal["growth"] | None
"""`growth`; a fraction of each GPU's memory; or None for all of it, TensorFlow's default."""
KEY = "train.gpu_memory"


def limit_memory(gpus: Sequence[UsableGpu], gpu_memory: GpuMemory) -> None:
    """Let TensorFlow allocate memory on these GPUs as it needs it, or up to a fraction.

    It must come before TensorFlow's first operation.

    Raises:
        UserError: a GPU's total memory is not known, or TensorFlow has allocated memory already.
    """
    from imgcls.backend import tf

    if gpu_memory is None:
        return
    if not gpus:
        note_missing_gpu()
    try:
        for gpu in gpus:
            if gpu_memory == "growth":
                tf.config.experimental.set_memory_growth(gpu.device, True)
            else:
                limit = compute_limit(gpu, gpu_memory)
                one = tf.config.LogicalDeviceConfiguration(memory_limit=limit)
                tf.config.set_logical_device_configuration(gpu.device, [one])
    except RuntimeError:
        raise UserError(
            f"{KEY} is {gpu_memory}, but this process has allocated memory on its GPUs already;"
            " start a new process"
        ) from None


@lru_cache
def note_missing_gpu() -> None:
    """Print, once per process, that the setting has no effect."""
    terminal.note(f"{KEY} has no effect without a GPU")


def compute_limit(gpu: UsableGpu, fraction: float) -> int:
    """Return a fraction of a GPU's total memory in MiB, rounded down.

    Raises:
        UserError: the total is not known.
    """
    if gpu.memory_mib is None:
        raise UserError(
            f"{KEY} is {fraction}, but nvidia-smi does not show the memory of {gpu};"
            f" set {KEY}: growth"
        )
    return int(gpu.memory_mib * fraction)
