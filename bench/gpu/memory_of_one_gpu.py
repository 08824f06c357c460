"""Training with one_device must not allocate memory on other GPUs, by `nvidia-smi`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from bench.gpu._row import Row, Target, decide
from bench.gpu._training import start_training, write_experiment
from imgcls.device import driver

GROWTH = 100
"""MiB by which a GPU's memory grows at least when a process trains on it: its CUDA context alone
takes more.
"""


def measure(target: Target, folder: Path) -> Iterator[Row]:
    """Look at the memory of all GPUs before and while this process trains.

    In a container, `nvidia-smi` may not list processes, or by other numbers. Then the GPUs count
    whose memory in use has grown.
    """
    before = driver.list_gpus()
    with start_training(write_experiment(folder, "one")) as (epochs, _):
        next(epochs)
        listed = parse_processes(list_processes()).get(os.getpid(), {})
        grown = find_growth(before, driver.list_gpus())
    used = listed or grown
    memory = ", ".join(f"{uuid}: {mebibytes:,} MiB" for uuid, mebibytes in used.items())
    yield Row(
        "GPUs on which one_device allocates memory",
        f"{len(used)} of {len(before)} ({memory or 'none'})",
        f"1 of {len(before)}",
        decide(len(used) == 1),
    )


def list_processes() -> str:
    """Return what `nvidia-smi` prints of the processes that use GPUs."""
    query = ["--query-compute-apps=pid,gpu_uuid,used_memory", "--format=csv,noheader,nounits"]
    return subprocess.run(["nvidia-smi", *query], capture_output=True, text=True, check=True).stdout


def parse_processes(text: str) -> dict[int, dict[str, int]]:
    """Return the MiB that each process uses, by the UUID of the GPU; 0 where it is not shown."""
    processes: dict[int, dict[str, int]] = {}
    for line in text.splitlines():
        fields = [field.strip() for field in line.split(",")]
        if len(fields) == 3 and fields[0].isdecimal():
            pid, uuid, memory = fields
            processes.setdefault(int(pid), {})[uuid] = int(memory) if memory.isdecimal() else 0
    return processes


def find_growth(before: tuple[driver.Gpu, ...], now: tuple[driver.Gpu, ...]) -> dict[str, int]:
    """Return the MiB by which the memory in use has grown, of the GPUs where it has."""
    used = {gpu.uuid: gpu.used_mib or 0 for gpu in before}
    grown = {gpu.uuid: (gpu.used_mib or 0) - used.get(gpu.uuid, 0) for gpu in now}
    return {uuid: mebibytes for uuid, mebibytes in grown.items() if mebibytes >= GROWTH}
