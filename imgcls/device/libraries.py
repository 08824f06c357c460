"""CUDA's libraries that TensorFlow does not find by itself. Light zone."""

import contextlib
import ctypes
import sys
from pathlib import Path

CUSOLVER = "nvidia/cusolver/lib/libcusolver.so.11"


def load_cusolver() -> None:
    """Load cuSOLVER of the installed packages, if it is installed, before TensorFlow is imported.

    TensorFlow 2.21 opens CUDA's libraries in libtensorflow_framework.so.2, whose RUNPATH names the
    folders of all of them but cuSOLVER's. So it would use no GPU, and print only that it cannot
    open some library. A library that is loaded already is found by its name.
    """
    for folder in sys.path:
        path = Path(folder, CUSOLVER)
        if path.exists():
            # If it cannot be loaded, TensorFlow will not use the GPUs; `usable` says so.
            with contextlib.suppress(OSError):
                ctypes.CDLL(str(path))
            return
