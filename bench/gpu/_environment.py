"""The GPUs of this machine, and the lines about the environment that stand above the table."""

import datetime
from collections.abc import Mapping, Sequence

from imgcls import environment
from imgcls.device import driver, usable
from imgcls.device.usable import UsableGpu
from imgcls.errors import UserError


def find_gpus() -> tuple[UsableGpu, ...]:
    """Return the GPUs that TensorFlow can use.

    Raises:
        UserError: this machine has none, none is visible, or TensorFlow cannot use one.
    """
    gpus = usable.list_usable_gpus() if driver.read_driver().has_gpus else ()
    if not gpus:
        raise UserError("there is no GPU here, and every check needs one; nothing was run")
    return gpus


def format_environment(gpus: Sequence[UsableGpu]) -> str:
    """Return the environment of the checks as a list in Markdown."""
    runtime = environment.read_runtime()
    git = environment.read_commit()
    commit = "-" if git is None else git.commit + (" and changes" if git.dirty else "")
    names = ("imgcls", "tensorflow", "keras", "numpy", "python")
    lines = {
        "GPUs": "; ".join(map(str, gpus)),
        "driver": runtime.driver or "-",
        "libraries": _join(runtime.libraries),
        "versions": _join({name: runtime.versions[name] for name in names}),
        "variables": _join(runtime.variables),
        "commit": commit,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())


def _join(values: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
