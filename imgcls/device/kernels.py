"""What TensorFlow's build has for a GPU: compiled kernels, or PTX, which the driver compiles. Light
zone.

Kernels for sm_XY run on compute capability X.Z with Z >= Y; PTX for compute_XY is compiled for any
X.Y and above (CUDA Programming Guide, "Compute Capability").
"""

import os
import re
from collections.abc import Sequence

from imgcls.device.driver import Gpu

CACHE_SIZE = 2**30
"""Bytes of the driver's cache, for the kernels that it compiles: the default of newer drivers (CUDA
Programming Guide 13, "CUDA_CACHE_MAXSIZE"); that of older ones, 256 MiB, is too small. TensorFlow
2.21 holds 286 MB of compressed code for its five targets together.
"""


def list_built() -> list[str]:
    """Return what this build of TensorFlow has, such as sm_80 and compute_90."""
    from imgcls.backend import tf

    return [str(name) for name in tf.sysconfig.get_build_info()["cuda_compute_capabilities"]]


def has_kernels(gpu: Gpu, built: Sequence[str]) -> bool:
    """Return whether compiled kernels run on a GPU."""
    major, minor = _parse(gpu.compute_capability)
    return any(each[0] == major and each[1] <= minor for each in _list_versions("sm", built))


def can_compile(gpu: Gpu, built: Sequence[str]) -> bool:
    """Return whether the driver can compile PTX of the build for a GPU."""
    wanted = _parse(gpu.compute_capability)
    return any(each <= wanted for each in _list_versions("compute", built))


def describe_compilation(gpus: Sequence[Gpu], built: Sequence[str]) -> str | None:
    """Return a note if the driver must compile kernels for one of the GPUs; else None."""
    names = sorted(
        {
            f"{gpu.name} (compute capability {gpu.compute_capability})"
            for gpu in gpus
            if not has_kernels(gpu, built)
        }
    )
    if not names:
        return None
    note = (
        f"this build of TensorFlow has compiled kernels for {', '.join(built)} only; the driver"
        f" compiles others for {' and '.join(names)}, which takes minutes at the first start"
    )
    if os.environ.get("CUDA_CACHE_DISABLE") == "1":
        return f"{note}, and at every start, since CUDA_CACHE_DISABLE is 1; unset it"
    size = os.environ.get("CUDA_CACHE_MAXSIZE", "")
    if size.isdecimal() and int(size) >= CACHE_SIZE:
        return note
    return f"{note}; so that later starts need not, set CUDA_CACHE_MAXSIZE={CACHE_SIZE} or more"


def _list_versions(kind: str, built: Sequence[str]) -> list[tuple[int, int]]:
    found = [re.fullmatch(rf"{kind}_(\d+)(\d)[a-z]?", name) for name in built]
    return [(int(each[1]), int(each[2])) for each in found if each]


def _parse(capability: str) -> tuple[int, int]:
    major, _, minor = capability.partition(".")
    return int(major), int(minor)
