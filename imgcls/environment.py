"""The environment of a run: versions, devices, variables, command, commit, host. Light zone.

Versions of packages are read from their metadata, without importing them.
"""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from imgcls import environment_variables
from imgcls.device import driver, library_versions
from imgcls.io.records import Record

PACKAGES = (
    "imgcls",
    "tensorflow",
    "keras",
    "numpy",
    "opencv-python-headless",
    "simplejpeg",
    "pillow",
    "scipy",
    "scikit-learn",
    "threadpoolctl",
    "h5py",
    "pydantic",
)
GPU_PACKAGES = (
    "nvidia-cublas-cu12",
    "nvidia-cuda-nvcc-cu12",
    "nvidia-cuda-nvrtc-cu12",
    "nvidia-cuda-runtime-cu12",
    "nvidia-cudnn-cu12",
    "nvidia-nccl-cu12",
)
"""Packages that are installed on GPU servers alone."""


class Commit(Record):
    """The git state of the imgcls sources."""

    commit: str
    """Hash of the git commit."""
    dirty: bool
    """Whether the sources have uncommitted changes."""


class GpuModel(Record):
    """A GPU that TensorFlow uses."""

    name: str
    """Name of the product."""
    compute_capability: str
    """Such as 9.0."""
    driver: str | None
    """Version of the driver; null if nvidia-smi does not show it."""

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.compute_capability}, driver {self.driver})"


class Runtime(Record):
    """What surrounds the computations of a process, and can change their bits."""

    versions: dict[str, str]
    """Versions of Python, and of all packages that can change a result."""
    libraries: dict[str, str]
    """Versions of NVIDIA's libraries: of those that TensorFlow was built for, and of those that the
    process had loaded when training began, as they give them themselves."""
    gpus: list[GpuModel]
    """The GPUs that TensorFlow uses."""
    processor: str
    """Processor model."""
    cores: Annotated[int, Field(ge=1)]
    """Number of CPU cores that the process may use."""
    intra_op_threads: Annotated[int, Field(ge=0)]
    """Threads of one operation; 0 for one per core."""
    inter_op_threads: Annotated[int, Field(ge=0)]
    """Operations at a time; 0 for one per core."""
    tensorfloat32: bool
    """Whether TensorFloat-32 is allowed on GPUs."""
    variables: dict[str, str]
    """Environment variables of TensorFlow, XLA, oneDNN, OpenMP and NVIDIA's libraries, all whose
    names begin with TF_, XLA_, NVIDIA_, NCCL_, CUDA_, CUBLAS_, CUDNN_, OMP_, KMP_, ONEDNN_ or
    DNNL_."""

    @property
    def driver(self) -> str | None:
        """Version of NVIDIA's driver, which all GPUs share; None without one."""
        return next((gpu.driver for gpu in self.gpus), None)

    def list_shared_properties(self) -> dict[str, str]:
        """Return, by name, what must be equal on all workers."""
        return {
            **self.versions,
            **self.libraries,
            "GPUs": "; ".join(map(str, self.gpus)) or "none",
            **environment_variables.select_bit_changing(self.variables),
        }

    def list_properties(self) -> dict[str, str]:
        """Return, by name, what must be equal for equal bits."""
        return {
            **self.list_shared_properties(),
            "processor": self.processor,
            "cores": str(self.cores),
            "intra_op_threads": str(self.intra_op_threads),
            "inter_op_threads": str(self.inter_op_threads),
            "tensorfloat32": str(self.tensorfloat32).lower(),
        }


class Start(Runtime):
    """The environment of one start of a training command."""

    started: str
    """Start time, UTC, in ISO 8601."""
    command: list[str]
    """The command line, a list of arguments."""
    seed: int
    """Seed of the experiment."""
    git: Commit | None
    """Commit of the imgcls sources; null if they are not a git checkout."""
    host: str
    """Host name."""
    platform: str
    """Operating system and its version."""
    devices: list[str]
    """Names of the devices used for training."""
    workers: list[str]
    """Addresses of the worker processes, by rank; empty for a single process."""


class Environment(Start):
    """The environment of a run: of its last start, and of the starts before."""

    earlier_starts: list[Start]
    """Earlier starts of a run that was continued, oldest first, with the same keys."""


def describe(
    seed: int,
    devices: list[str],
    runtime: Runtime,
    workers: list[str],
    previous: Environment | None,
) -> Environment:
    """Return the environment of a run that is started now.

    Args:
        devices: names of the devices used for training.
        runtime: what surrounds this process.
        workers: addresses of the worker processes, by rank.
        previous: environment of the run's last start, if it is continued.
    """
    earlier = [] if previous is None else [*previous.earlier_starts, _to_start(previous)]
    return Environment(
        **dict(runtime),
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=[Path(sys.argv[0]).name, *sys.argv[1:]],
        seed=seed,
        git=read_commit(),
        host=socket.gethostname(),
        platform=platform.platform(),
        devices=devices,
        workers=workers,
        earlier_starts=earlier,
    )


def _to_start(environment: Environment) -> Start:
    return Start.model_validate(environment.model_dump(exclude={"earlier_starts"}))


def read_runtime() -> Runtime:
    """Return what surrounds this process; imports TensorFlow."""
    from imgcls.backend import tf

    return Runtime(
        versions=get_versions(),
        libraries={
            **library_versions.read_build_versions(),
            **library_versions.read_loaded_versions(),
        },
        gpus=_list_gpus(),
        processor=_read_processor(),
        cores=count_cores(),
        intra_op_threads=tf.config.threading.get_intra_op_parallelism_threads(),
        inter_op_threads=tf.config.threading.get_inter_op_parallelism_threads(),
        tensorfloat32=tf.config.experimental.tensor_float_32_execution_enabled(),
        variables=environment_variables.read_variables(),
    )


def find_differences(
    there: Mapping[str, str], here: Mapping[str, str], sentence: str = "{} was {} and is {}"
) -> list[str]:
    """Return a sentence for each property that differs.

    A library that is loaded only in one process is not a difference: NCCL is loaded when it is
    first used, and the packages that libraries come from are compared.

    Args:
        there: values by name, of `Runtime.list_properties`, of an earlier process or another one.
        here: those of this process.
        sentence: a format string with three fields: the name, the value there, the value here.
    """
    return [
        sentence.format(name, _format_value(there.get(name)), _format_value(here.get(name)))
        for name in dict.fromkeys([*there, *here])
        if there.get(name) != here.get(name)
        and (name not in library_versions.LIBRARIES or (name in there and name in here))
    ]


def _format_value(value: str | None) -> str:
    return "not set" if value is None else value or "empty"


def _list_gpus() -> list[GpuModel]:
    """Return the GPUs that TensorFlow may use in this process."""
    from imgcls.backend import tf

    devices = tf.config.get_visible_devices("GPU")
    if not devices:
        return []
    installed = next((gpu.driver for gpu in driver.list_gpus()), None)  # all share one driver
    found = map(tf.config.experimental.get_device_details, devices)
    return [
        GpuModel(
            name=details["device_name"],
            compute_capability=".".join(map(str, details["compute_capability"])),
            driver=installed,
        )
        for details in found
    ]


def get_versions() -> dict[str, str]:
    """Return the versions of Python, and of all packages that can change a result."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    for name in GPU_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {"python": platform.python_version(), **versions}


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def read_commit() -> Commit | None:
    """Return the commit of the imgcls sources; None if they are not a git checkout."""

    def run_git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # Fails if imgcls is installed inside the checkout of another project.
        run_git("ls-files", "--error-unmatch", __file__)
        return Commit(
            commit=run_git("rev-parse", "HEAD"), dirty=bool(run_git("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _read_processor() -> str:
    return _read_cpu_info("model name") or platform.processor()


def read_cpu_features() -> frozenset[str]:
    """Return the names of the processor's features as Linux lists them; empty if it does not."""
    return frozenset((_read_cpu_info("flags") or _read_cpu_info("Features")).split())


def _read_cpu_info(name: str) -> str:
    """Return a property of the first core, or an empty text if Linux does not list it."""
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        for line in cpu_info.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                return value.strip()
    return ""
