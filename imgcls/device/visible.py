"""The GPUs that CUDA_VISIBLE_DEVICES leaves visible to this process. Light zone.

Its rules are those of the CUDA Programming Guide, section "CUDA Environment Variables": indices,
UUIDs or unique beginnings of UUIDs, in this order, up to the first that is not valid.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from imgcls.device.driver import Gpu

VARIABLE = "CUDA_VISIBLE_DEVICES"
HIDING = ("", "-1")
"""The values with which people hide all GPUs on purpose."""
MIG = "MIG-"
"""How the name of a slice of a GPU begins (Multi-Instance GPU)."""


@dataclass(frozen=True)
class Slice:
    """A slice of a GPU (Multi-Instance GPU), which has no index, and no memory of its own in
    nvidia-smi's table.

    Attributes:
        uuid: as CUDA_VISIBLE_DEVICES gives it.
    """

    uuid: str

    def __str__(self) -> str:
        return self.uuid


def list_visible(gpus: Sequence[Gpu]) -> tuple[Gpu | Slice, ...]:
    """Return the GPUs and slices that this process sees, in CUDA's order.

    Args:
        gpus: all that the driver shows, by index.
    """
    value = os.environ.get(VARIABLE)
    if value is None:
        return tuple(gpus)
    found: list[Gpu | Slice] = []
    for entry in map(str.strip, value.split(",")):
        gpu = _find(entry, gpus)
        if gpu is None:
            break
        found.append(gpu)
    return tuple(found)


def _find(entry: str, gpus: Sequence[Gpu]) -> Gpu | Slice | None:
    """Return what an entry of the variable names; None if it is not valid."""
    if entry.startswith(MIG):
        return Slice(entry)
    if entry.isdecimal():
        matches = [gpu for gpu in gpus if gpu.index == int(entry)]
    else:
        matches = [gpu for gpu in gpus if entry.startswith("GPU-") and gpu.uuid.startswith(entry)]
    return matches[0] if len(matches) == 1 else None
