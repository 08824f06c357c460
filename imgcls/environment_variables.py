"""Environment variables of the libraries below imgcls, and which of them can change a bit. Light
zone.
"""

import os
from collections.abc import Mapping
from fnmatch import fnmatchcase

PREFIXES = (
    "TF_",
    "XLA_",
    "NVIDIA_",
    "NCCL_",
    "CUDA_",
    "CUBLAS_",
    "CUDNN_",
    "OMP_",
    "KMP_",
    "ONEDNN_",
    "DNNL_",  # the older name of oneDNN, which still reads these
)
"""What the names of recorded variables begin with."""

NEUTRAL = {
    "what is logged": (
        "TF_CPP_*",
        "TF_DUMP_GRAPH_*",
        "NCCL_DEBUG*",
        "CUDNN_LOG*",
        "CUDNN_FRONTEND_LOG*",
        "CUBLAS_LOG*",
        "ONEDNN_VERBOSE*",
        "DNNL_VERBOSE*",
        "KMP_SETTINGS",
        "KMP_VERSION",
        "KMP_WARNINGS",
        "OMP_DISPLAY_*",
    ),
    "addresses, and the network interface of a machine": (
        "TF_CONFIG",
        "TF_GRPC_*",
        "NCCL_SOCKET_*",
        "NCCL_COMM_ID",
        "NCCL_HOSTID",
        "NCCL_IB_HCA",
    ),
    "which GPUs are used, whose models are compared": (
        "CUDA_VISIBLE_DEVICES",
        "CUDA_DEVICE_ORDER",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_REQUIRE_*",
        "NVIDIA_DISABLE_REQUIRE",
    ),
    "where compiled kernels are saved": ("CUDA_CACHE_*", "TF_JIT_CACHE_DIR"),
    "when and how much memory is allocated, and when code is loaded": (
        "TF_FORCE_GPU_ALLOW_GROWTH",
        "TF_CPU_ALLOCATOR_USE_BFC",
        "TF_CPU_BFC_MEM_LIMIT_IN_MB",
        "CUDA_MODULE_LOADING",
    ),
    "when and where threads run": (
        "TF_GPU_THREAD_*",
        "CUDA_LAUNCH_BLOCKING",
        "KMP_AFFINITY",
        "KMP_BLOCKTIME",
        "OMP_PLACES",
        "OMP_PROC_BIND",
        "OMP_WAIT_POLICY",
    ),
}
"""Patterns of variables that cannot change a bit of a result, by what they change instead. Any
other recorded variable can, or is not known.
"""


def read_variables() -> dict[str, str]:
    """Return the variables of this process that are recorded, by name."""
    return {name: os.environ[name] for name in sorted(os.environ) if name.startswith(PREFIXES)}


def select_bit_changing(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that can change a bit of a result."""
    return {name: value for name, value in variables.items() if not _is_neutral(name)}


def _is_neutral(name: str) -> bool:
    return any(fnmatchcase(name, each) for patterns in NEUTRAL.values() for each in patterns)


def turn_off_nvlink_sharp() -> None:
    """Let NCCL add gradients without NVLink SHARP, unless NCCL_NVLS_ENABLE is set.

    The switches of SHARP add in an order that differs from call to call. NCCL reads the variable
    when it starts, so this must come before the first step.
    """
    os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
