"""What the NVIDIA driver says about the GPUs of this machine, without TensorFlow. Light zone.

The source is `nvidia-smi`, which comes with the driver and is also in containers. Its indices are
in the order of the PCI bus, which CUDA follows if CUDA_DEVICE_ORDER is PCI_BUS_ID.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

QUERY = (
    "index,uuid,pci.bus_id,name,memory.total,memory.used,utilization.gpu,compute_cap,"
    "driver_version,mig.mode.current"
)
TIMEOUT = 60.0
"""Seconds for nvidia-smi. Without persistence mode, the driver starts each GPU, for some seconds.
"""
NO_DEVICES = "No devices were found"


@dataclass(frozen=True)
class Gpu:
    """A GPU that the driver shows.

    Attributes:
        index: as `nvidia-smi` shows it.
        uuid: `GPU-` and a UUID.
        bus_id: PCI address, such as 00000000:65:00.0.
        name: product name, such as NVIDIA H100 80GB HBM3.
        memory_mib: total memory; None if it shares the memory of the host.
        used_mib: memory in use by all processes; None as `memory_mib`.
        utilization: percentage of the last second in which a kernel ran; None with MIG.
        compute_capability: such as "9.0".
        driver: version of the driver.
        is_divided: whether it is divided into slices (Multi-Instance GPU).
    """

    index: int
    uuid: str
    bus_id: str
    name: str
    memory_mib: int | None
    used_mib: int | None
    utilization: int | None
    compute_capability: str
    driver: str
    is_divided: bool

    def __str__(self) -> str:
        memory = "" if self.memory_mib is None else f", {self.memory_mib:,} MiB"
        return f"{self.index}: {self.name} (compute capability {self.compute_capability}{memory})"


@dataclass(frozen=True)
class Driver:
    """The state of the NVIDIA driver.

    Attributes:
        gpus: by index.
        device_files: of GPUs, such as /dev/nvidia0.
        problem: why `gpus` is empty although there are device files; None if it is not.
    """

    gpus: tuple[Gpu, ...]
    device_files: tuple[str, ...]
    problem: str | None

    @property
    def has_gpus(self) -> bool:
        """Whether this machine has a GPU, be it usable or not."""
        return bool(self.gpus) or self.problem is not None


def list_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that the driver shows; none if it is not installed or fails."""
    return read_driver().gpus


def read_driver(root: Path = Path("/")) -> Driver:
    """Return what the driver says now.

    /proc/driver/nvidia is not read: a container sees it even if it was given no GPU.

    Args:
        root: of the file system that has /dev.
    """
    device_files = tuple(
        sorted(str(path) for path in (root / "dev").glob("nvidia*") if path.name[6:].isdecimal())
    )
    text, failure = _run_nvidia_smi()
    gpus = tuple(gpu for gpu in map(_parse_line, text.splitlines()) if gpu)
    return Driver(gpus, device_files, failure if device_files and not gpus else None)


def _run_nvidia_smi() -> tuple[str, str | None]:
    """Return the output of nvidia-smi, and why there is none; None if it works, even if this
    process was given no GPU.
    """
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except FileNotFoundError:
        return "", "nvidia-smi is not in PATH"
    except (OSError, subprocess.TimeoutExpired) as error:
        return "", f"nvidia-smi does not run: {error}"
    said = " ".join((done.stdout + done.stderr).split())
    if NO_DEVICES in said:
        return "", None
    has_gpus = any(map(_parse_line, done.stdout.splitlines()))
    if done.returncode or (said and not has_gpus):
        return "", f"nvidia-smi says: {said or f'exit code {done.returncode}'}"
    return done.stdout, None


def _parse_line(line: str) -> Gpu | None:
    """Return the GPU of a line; None for a warning, which nvidia-smi prints among them."""
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != len(QUERY.split(",")) or not fields[0].isdecimal():
        return None
    index, uuid, bus_id, name, total, used, utilization, capability, driver, slices = fields
    return Gpu(
        int(index),
        uuid,
        bus_id,
        name,
        _parse_number(total),
        _parse_number(used),
        _parse_number(utilization),
        capability,
        driver,
        slices == "Enabled",
    )


def _parse_number(text: str) -> int | None:
    """Return a number; None for `[N/A]` and the like."""
    return int(text) if text.isdecimal() else None
