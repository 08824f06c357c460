"""The choice of the GPUs that this process uses; the others stay hidden from TensorFlow, which
would allocate memory on each GPU that it sees. Light zone.

TensorFlow allows the choice once per process, before its first operation.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from imgcls.device import memory, reservation, usable
from imgcls.device.driver import Gpu
from imgcls.device.memory import GpuMemory
from imgcls.device.usable import UsableGpu
from imgcls.errors import UserError
from imgcls.io import terminal

Device = Annotated[int, Field(ge=0)] | Literal["idle", "cpu"] | None
"""The index of a GPU as nvidia-smi shows it; the GPU that is used least; the CPU; or None for the
first GPU if there is one, else the CPU.
"""
KEY = "train.strategy.device"
_used: list[UsableGpu] = []


def list_used_gpus() -> tuple[UsableGpu, ...]:
    """Return the GPUs that this process has chosen; none before the choice, and on the CPU."""
    return tuple(_used)


def prepare_gpus(device: Device, gpu_memory: GpuMemory) -> None:
    """Check the GPUs, and limit the memory allocated on them, before some are chosen.

    Raises:
        UserError: TensorFlow cannot use the GPUs, or a limit cannot be set.
    """
    memory.limit_memory(() if device == "cpu" else usable.list_usable_gpus(), gpu_memory)


@lru_cache
def use_device(device: Device) -> str:
    """Make one device visible to TensorFlow, and return its name there: GPU:0 or CPU:0.

    Raises:
        UserError: there is no such GPU, no GPU is idle, TensorFlow cannot use the GPUs, or this
            process uses other GPUs already.
    """
    gpu = None if device == "cpu" else _choose(device, usable.list_usable_gpus())
    use_gpus([gpu] if gpu else [])
    return "GPU:0" if gpu else "CPU:0"


def use_gpus(gpus: Sequence[UsableGpu]) -> None:
    """Make only these GPUs visible to TensorFlow, and mark them as used by this process.

    Raises:
        UserError: this process uses other GPUs already.
    """
    from imgcls.backend import tf

    try:
        tf.config.set_visible_devices([gpu.device for gpu in gpus], "GPU")
    except RuntimeError:
        raise UserError(
            f"this process already uses {_describe(_used)}, and cannot change to"
            f" {_describe(gpus)}; start a new process for each choice of devices"
        ) from None
    reservation.share([gpu.shown for gpu in gpus if gpu.shown])
    _used[:] = gpus


def use_for_prediction(device: Device, gpu_memory: GpuMemory) -> None:
    """Choose the device that predicts with a model: that of its training, or else the default.

    Nothing changes in a process that has trained, or predicted, before.

    Args:
        device: that of training. A GPU that this machine does not have is replaced by the default.
        gpu_memory: that of training.

    Raises:
        UserError: TensorFlow cannot use the GPUs, or no GPU is idle.
    """
    if use_device.cache_info().currsize or _used:
        return
    if device != "cpu":
        gpus = usable.list_usable_gpus()
        if gpus:
            memory.limit_memory(gpus, gpu_memory)
        if device is not None and not (_find(device, gpus) if isinstance(device, int) else gpus):
            terminal.note(
                f"{KEY} was {device}, which this machine does not have: using the default"
            )
            device = None
    use_device(device)


def _choose(device: int | Literal["idle"] | None, gpus: Sequence[UsableGpu]) -> UsableGpu | None:
    if device is None:
        return gpus[0] if gpus else None
    if not gpus:
        raise UserError(
            f"{KEY} is {device}, but this process has no GPU; set it to cpu, or leave it out"
        )
    if device == "idle":
        return _reserve_idle(gpus)
    gpu = _find(device, gpus)
    if gpu is None:
        raise UserError(
            f"{KEY} is {device}, but this process has only\n"
            f"{terminal.format_lines([_describe([each]) for each in gpus])}\n"
            "Set it to the index of one of them, as nvidia-smi shows it, or leave it out"
        )
    return gpu


def _find(index: int, gpus: Sequence[UsableGpu]) -> UsableGpu | None:
    return next(
        (gpu for gpu in gpus if isinstance(gpu.shown, Gpu) and gpu.shown.index == index), None
    )


def _reserve_idle(gpus: Sequence[UsableGpu]) -> UsableGpu:
    """Reserve the GPU with the least memory in use, then utilization, that no process uses.

    Only processes of imgcls reserve GPUs; others are seen by what they use.
    """
    known = {gpu.shown: gpu for gpu in gpus if gpu.shown}
    if not known:
        raise UserError(f"{KEY} is idle, but nvidia-smi does not show what is in use; leave it out")
    try:
        found = reservation.reserve_first(sorted(known, key=_measure_use))
    except OSError as error:
        raise UserError(
            f"{KEY} is idle, but {reservation.FOLDER}, where processes reserve GPUs, cannot be"
            f" written ({error}); make it writable for all, or give the index of a GPU"
        ) from None
    if found is None:
        users = [f"{each}; {reservation.read_user(each)}" for each in known]
        raise UserError(
            f"{KEY} is idle, but every GPU is used by another process of imgcls:\n"
            f"{terminal.format_lines(users)}\n"
            "Wait for one to end, or give the index of a GPU to share it"
        )
    used = f", {found.used_mib:,} MiB in use" if isinstance(found, Gpu) and found.used_mib else ""
    terminal.note(f"training on GPU {found}{used}")
    return known[found]


def _measure_use(shown: object) -> tuple[int, int]:
    if not isinstance(shown, Gpu):
        return 0, 0
    return shown.used_mib or 0, shown.utilization or 0


def _describe(gpus: Sequence[UsableGpu]) -> str:
    return " and ".join(map(str, gpus)) or "the CPU"
