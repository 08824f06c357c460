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
from typing import Any

PACKAGES = ("imgcls", "tensorflow", "keras", "numpy", "scikit-learn", "pillow", "pydantic")


def describe(seed: int, devices: list[str], switches: dict[str, str]) -> dict[str, Any]:
    """Return the content of environment.json.

    Args:
        devices: the devices that train, by name.
        switches: environment variables that TensorFlow was started with.
    """
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "seed": seed,
        "versions": get_versions(),
        "git": _read_commit(Path(__file__).parent),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "processor": _read_processor(),
        "cores": count_cores(),
        "devices": devices,
        "switches": switches,
    }


def get_versions() -> dict[str, str]:
    """Return the version of Python and of every package whose version can change a number."""
    return {
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def count_cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _read_commit(folder: Path) -> dict[str, Any] | None:
    """Return the commit of the imgcls sources and whether they differ from it; None where they are
    no git checkout.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        git(
            "ls-files", "--error-unmatch", __file__
        )  # else the checkout around an installed imgcls would be taken for its own
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.CalledProcessError):
        return None


def _read_processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
