"""What a run was made with: versions, devices, command, commit, host. Light zone: nothing heavy is
imported, only looked up.
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
    """The state of the imgcls sources."""

    commit: str
    """The hash of the git commit."""
    dirty: bool
    """Whether files differ from the commit."""


class Start(Record):
    """One start of a training command."""

    started: str
    """When: UTC, ISO 8601."""
    command: list[str]
    """The command line, a list of its words."""
    seed: int
    """The seed of the experiment."""
    versions: dict[str, str]
    """The version of Python, and of each package whose version can change a number."""
    git: Commit | None
    """The commit of the imgcls sources; null where they are not a git checkout."""
    host: str
    """The name of the machine."""
    platform: str
    """The operating system and its version."""
    processor: str
    """The model of the processor."""
    cores: Annotated[int, Field(ge=1)]
    """Processor cores that the process may use."""
    devices: list[str]
    """The devices that train, by name."""
    switches: dict[str, str]
    """Environment variables that TensorFlow was started with."""
    workers: list[str]
    """The addresses of the processes that train together, by rank; empty for a single one."""


class Environment(Start):
    """What a run was made with: the last start, and those before it."""

    earlier_starts: list[Start]
    """The earlier starts of a run that was continued, the first one first, with the same keys."""


def describe(
    seed: int,
    devices: list[str],
    switches: dict[str, str],
    workers: list[str],
    previous: Environment | None,
) -> Environment:
    """Return what a run is made with now.

    Args:
        devices: the devices that train, by name.
        switches: environment variables that TensorFlow was started with.
        workers: the addresses of the processes that train together.
        previous: what an earlier start of the run wrote.
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
    """Return the version of Python and of every package whose version can change a number."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def count_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_commit(folder: Path) -> Commit | None:
    """Return the commit of the imgcls sources and whether they differ from it; None where they are
    not a git checkout.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git(
            "ls-files", "--error-unmatch", __file__
        )  # else the checkout around an installed imgcls would be taken for its own
        return Commit(commit=git("rev-parse", "HEAD"), dirty=bool(git("status", "--porcelain")))
    except (OSError, subprocess.CalledProcessError):
        return None


def _read_processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
