"""The environment of a run: versions, devices, command, commit, host. Light zone.

Versions of packages are read from their metadata, without importing them.
"""

import datetime
import importlib.metadata
import os
import platform
import socket
import subprocess
import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field

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
    "h5py",
    "pydantic",
)


class Commit(Record):
    """The git state of the imgcls sources."""

    commit: str
    """Hash of the git commit."""
    dirty: bool
    """Whether the sources have uncommitted changes."""


class Start(Record):
    """The environment of one start of a training command."""

    started: str
    """Start time, UTC, in ISO 8601."""
    command: list[str]
    """The command line, a list of arguments."""
    seed: int
    """Seed of the experiment."""
    versions: dict[str, str]
    """Versions of Python, and of all packages that can change a result."""
    git: Commit | None
    """Commit of the imgcls sources; null if they are not a git checkout."""
    host: str
    """Host name."""
    platform: str
    """Operating system and its version."""
    processor: str
    """Processor model."""
    cores: Annotated[int, Field(ge=1)]
    """Number of CPU cores that the process may use."""
    devices: list[str]
    """Names of the devices used for training."""
    switches: dict[str, str]
    """Environment variables that were set for TensorFlow."""
    workers: list[str]
    """Addresses of the worker processes, by rank; empty for a single process."""


class Environment(Start):
    """The environment of a run: of its last start, and of the starts before."""

    earlier_starts: list[Start]
    """Earlier starts of a run that was continued, oldest first, with the same keys."""


def describe(
    seed: int,
    devices: list[str],
    switches: dict[str, str],
    workers: list[str],
    previous: Environment | None,
) -> Environment:
    """Return the environment of a run that is started now.

    Args:
        devices: names of the devices used for training.
        switches: environment variables that were set for TensorFlow.
        workers: addresses of the worker processes, by rank.
        previous: environment of the run's last start, if it is continued.
    """
    earlier = [] if previous is None else [*previous.earlier_starts, _to_start(previous)]
    return Environment(
        started=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        command=[Path(sys.argv[0]).name, *sys.argv[1:]],
        seed=seed,
        versions=get_versions(),
        git=_read_commit(Path(__file__).parent),
        host=socket.gethostname(),
        platform=platform.platform(),
        processor=_read_processor(),
        cores=count_cores(),
        devices=devices,
        switches=switches,
        workers=workers,
        earlier_starts=earlier,
    )


def _to_start(environment: Environment) -> Start:
    return Start.model_validate(environment.model_dump(exclude={"earlier_starts"}))


def get_versions() -> dict[str, str]:
    """Return the versions of Python, and of all packages that can change a result."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def count_cores() -> int:
    """Return the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_commit(folder: Path) -> Commit | None:
    """Return the commit of the imgcls sources; None if they are not a git checkout."""

    def run_git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        # Fails if imgcls is installed inside the checkout of another project.
        run_git("ls-files", "--error-unmatch", __file__)
        return Commit(
            commit=run_git("rev-parse", "HEAD"), dirty=bool(run_git("status", "--porcelain"))
        )
    except (OSError, subprocess.CalledProcessError):
        return None


def _read_processor() -> str:
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        for line in cpu_info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
