"""Versions of NVIDIA's libraries: those of TensorFlow's build, and those loaded in this process.
Light zone.

The loaded ones are asked themselves, since they may come from pip packages, an image or the system.
"""

import ctypes
import re
from collections.abc import Callable
from pathlib import Path

MAPS = Path("/proc/self/maps")


def read_build_versions() -> dict[str, str]:
    """Return the versions that TensorFlow was built for; empty in a build for CPUs alone."""
    from imgcls.backend import tf

    info = tf.sysconfig.get_build_info()
    keys = {"CUDA of the build": "cuda_version", "cuDNN of the build": "cudnn_version"}
    return {name: str(info[key]) for name, key in keys.items() if info.get(key)}


def read_loaded_versions(maps: Path = MAPS) -> dict[str, str]:
    """Return the versions of the libraries that this process has loaded by now.

    Args:
        maps: the kernel's list of the files in memory.
    """
    text = maps.read_text(errors="replace") if maps.exists() else ""
    found = {}
    for name, (file, ask) in LIBRARIES.items():
        path = re.search(rf"/\S*/{file}\.so[\d.]*$", text, re.MULTILINE)
        if path:
            found[name] = ask(ctypes.CDLL(path[0]))
    return found


def format_cuda(number: int) -> str:
    """Return a version from CUDA's number, 1000 major + 10 minor."""
    return f"{number // 1000}.{number % 1000 // 10}"


def format_cudnn(number: int) -> str:
    """Return a version from cuDNN's number: 10000 major + 100 minor + patch, before version 9
    1000 major + 100 minor + patch.
    """
    major, rest = divmod(number, 10_000 if number >= 90_000 else 1000)
    return f"{major}.{rest // 100}.{rest % 100}"


def format_nccl(number: int) -> str:
    """Return a version from NCCL's number, 10000 major + 100 minor + patch (from 2.9 on)."""
    return f"{number // 10_000}.{number % 10_000 // 100}.{number % 100}"


def _ask_cuda(library: ctypes.CDLL) -> str:
    return format_cuda(_fill_int(library.cudaRuntimeGetVersion))


def _ask_nccl(library: ctypes.CDLL) -> str:
    return format_nccl(_fill_int(library.ncclGetVersion))


def _ask_cudnn(library: ctypes.CDLL) -> str:
    library.cudnnGetVersion.restype = ctypes.c_size_t
    return format_cudnn(library.cudnnGetVersion())


def _ask_cublas(library: ctypes.CDLL) -> str:
    """Ask for major version, minor version and patch (`libraryPropertyType` 0, 1 and 2)."""

    def read(which: int) -> int:
        return _fill_int(lambda number: library.cublasGetProperty(which, number))

    return ".".join(str(read(which)) for which in range(3))


def _fill_int(function: Callable[..., int]) -> int:
    """Call a C function that writes an int to where its argument points."""
    number = ctypes.c_int()
    function(ctypes.byref(number))
    return number.value


LIBRARIES: dict[str, tuple[str, Callable[[ctypes.CDLL], str]]] = {
    "CUDA runtime": ("libcudart", _ask_cuda),
    "cuBLAS": ("libcublas", _ask_cublas),
    "cuDNN": ("libcudnn", _ask_cudnn),
    "NCCL": ("libnccl", _ask_nccl),
}
"""The libraries by name: the beginning of their files, and what asks one for its version."""
