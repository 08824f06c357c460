"""Divides the cores or GPUs of this machine among jobs. Light zone."""

import os
from dataclasses import dataclass, field

from imgcls.device import visible
from imgcls.device.driver import Gpu, list_gpus
from imgcls.device.visible import Slice
from imgcls.errors import UserError


@dataclass(frozen=True)
class Slot:
    """What the trials of one job run on.

    Attributes:
        cores: numbers of the cores; None for all of this process.
        variables: environment variables, such as the one that names its GPU.
    """

    cores: tuple[int, ...] | None = None
    variables: dict[str, str] = field(default_factory=dict)


def make_slots(jobs: int) -> list[Slot]:
    """Return what each job runs on: a GPU of its own, if there are any, and its share of the cores.

    A single job has all that this process has.

    Raises:
        UserError: there are fewer GPUs or cores than jobs.
    """
    if jobs < 1:
        raise UserError(f"--jobs {jobs}: needs a whole number from 1")
    if jobs == 1:
        return [Slot()]
    gpus = visible.list_visible(list_gpus())
    if gpus and len(gpus) < jobs:
        raise UserError(
            f"--jobs {jobs}: this machine has {len(gpus)} GPUs, and each job needs one; give at"
            f" most {len(gpus)}"
        )
    cores = _list_cores()
    if len(cores) < jobs:
        raise UserError(
            f"--jobs {jobs}: this process has {len(cores)} cores, and each job needs one; give at"
            f" most {len(cores)}"
        )
    share = len(cores) // jobs  # equal shares: another number of threads gives other bits
    return [
        Slot(tuple(cores[i * share : (i + 1) * share]), _name_gpu(gpus[i]) if gpus else {})
        for i in range(jobs)
    ]


def _list_cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def _name_gpu(gpu: Gpu | Slice) -> dict[str, str]:
    return {visible.VARIABLE: gpu.uuid}
