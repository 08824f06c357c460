"""The GPUs that TensorFlow uses in this process, compared with those that the driver shows. Light
zone, but for calls: these import TensorFlow.
"""

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from imgcls.device import driver, kernels, visible
from imgcls.device.driver import Driver, Gpu
from imgcls.device.visible import Slice
from imgcls.errors import UserError
from imgcls.io import terminal

LISTING = """\
from imgcls.device import libraries
libraries.load_cusolver()
import tensorflow
tensorflow.config.list_physical_devices()
"""
RELEVANT = re.compile(r"cuda|cudnn|cuinit|gpu|nvidia|nvml|nccl|dlopen|driver|\blib\w+\.so", re.I)
PREFIX = re.compile(r"^([IWEF]\d{4} [\d:.]+ +\d+|\d{4}-\d\d-\d\d [\d:.]+: [IWEF]) \S+\] ")
"""What precedes a message of TensorFlow: level, time, process and place in the source."""
MIN_DRIVER = "525.60"
"""The oldest driver for CUDA 12 (CUDA Toolkit release notes, "minor version compatibility")."""
HIDE = f"to use the CPU, set {visible.VARIABLE}=-1"


@dataclass(frozen=True)
class UsableGpu:
    """A GPU that TensorFlow can use.

    Attributes:
        device: TensorFlow's `PhysicalDevice`.
        shown: what the driver shows of it; None if that is not known.
    """

    device: Any
    shown: Gpu | Slice | None

    @property
    def memory_mib(self) -> int | None:
        """Total memory in MiB; None if the driver does not show it."""
        return self.shown.memory_mib if isinstance(self.shown, Gpu) else None

    def __str__(self) -> str:
        return str(self.shown or self.device.name)


@lru_cache
def list_usable_gpus() -> tuple[UsableGpu, ...]:
    """Return the GPUs of this process in TensorFlow's order, after checking that none is lost.

    They are looked up once per process, as TensorFlow does. A note says if the driver will compile
    kernels for one of them.

    Raises:
        UserError: the driver shows a GPU that TensorFlow cannot use, although
            CUDA_VISIBLE_DEVICES does not hide it.
    """
    from imgcls.backend import tf

    return match_gpus(tf.config.list_physical_devices("GPU"), driver.read_driver())


def match_gpus(devices: Sequence[Any], found: Driver) -> tuple[UsableGpu, ...]:
    """Return TensorFlow's GPUs with what the driver shows of each.

    Raises:
        UserError: as `list_usable_gpus`.
    """
    if found.problem:
        if not devices and not _hides_device_files(found.device_files):
            raise _make_error([*found.device_files, found.problem])
        return tuple(UsableGpu(device, None) for device in devices)
    shown = visible.list_visible(found.gpus)
    gpus = [each for each in shown if isinstance(each, Gpu)]
    _require_kernels(gpus)
    if not shown and found.gpus:
        _note_hidden(found.gpus)
    # With a divided GPU, CUDA shows only one slice; which one is not known.
    divided = any(gpu.is_divided for gpu in gpus) or len(gpus) < len(shown)
    if len(devices) < (min(1, len(shown)) if divided else len(shown)):
        raise _make_error(list(map(str, shown)), gpus)
    if note := kernels.describe_compilation(gpus, kernels.list_built()) if gpus else None:
        terminal.note(note)
    same_order = len(devices) == 1 or os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    known = shown if len(devices) == len(shown) and same_order else [None] * len(devices)
    return tuple(UsableGpu(*each) for each in zip(devices, known, strict=True))


def _hides_device_files(device_files: Sequence[str]) -> bool:
    """Return whether CUDA_VISIBLE_DEVICES hides all GPUs, of which only the files are known."""
    value = os.environ.get(visible.VARIABLE)
    first = None if value is None else value.partition(",")[0].strip()
    return first is not None and not (
        first.startswith(("GPU-", visible.MIG))
        or (first.isdecimal() and any(file.endswith(f"nvidia{first}") for file in device_files))
    )


def _note_hidden(gpus: Sequence[Gpu]) -> None:
    value = os.environ.get(visible.VARIABLE, "")
    if value.strip() not in visible.HIDING:
        listed = ", ".join(map(str, gpus))
        terminal.note(f"{visible.VARIABLE}={value} hides every GPU of this machine ({listed})")


def _require_kernels(gpus: Sequence[Gpu]) -> None:
    """Check that TensorFlow's build has kernels or PTX for each GPU."""
    built = kernels.list_built() if gpus else []
    lacking = [
        gpu
        for gpu in gpus
        if not kernels.has_kernels(gpu, built) and not kernels.can_compile(gpu, built)
    ]
    if lacking:
        others = ",".join(str(gpu.index) for gpu in gpus if gpu not in lacking)
        use = f"set {visible.VARIABLE}={others} to use the others" if others else HIDE
        raise UserError(
            f"this build of TensorFlow ({', '.join(built)}) has no kernels for"
            f" {' and '.join(map(str, lacking))}; {use}"
        )


def _make_error(found: Sequence[str], gpus: Sequence[Gpu] = ()) -> UserError:
    """Return the error for GPUs that TensorFlow cannot use, with what it says of them."""
    from imgcls.backend import tf

    versions = {gpu.driver for gpu in gpus}
    installed = f"driver {' and '.join(sorted(versions))} is installed" if versions else ""
    lines = read_tensorflow_lines() or ["nothing about GPUs"]
    return UserError(
        "\n".join(
            [
                "TensorFlow cannot use the GPUs of this machine:",
                terminal.format_lines(found),
                "It printed:",
                terminal.format_lines(lines),
                "What to do: `make setup GPU=1` installs CUDA's libraries; CUDA"
                f" {tf.sysconfig.get_build_info()['cuda_version']} needs a driver of version"
                f" {MIN_DRIVER} or later{f' ({installed})' if installed else ''}; or {HIDE}",
            ]
        )
    )


def read_tensorflow_lines() -> list[str]:
    """Return what TensorFlow prints about GPUs while it starts, without times and repetitions.

    A new process is started, since TensorFlow reads its log level once: this one prints nothing.
    """
    process = subprocess.run(
        [sys.executable, "-P", "-c", LISTING],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return extract_lines(process.stderr)


def extract_lines(text: str) -> list[str]:
    """Return the messages about GPUs of TensorFlow's log, each once.

    "Unable to register" is printed on every start, and "is optimized" is about the CPU.
    """
    messages = [PREFIX.sub("", line).strip() for line in text.splitlines()]
    return list(
        dict.fromkeys(
            message
            for message in messages
            if RELEVANT.search(message) and "Unable to register" not in message
        )
    )
