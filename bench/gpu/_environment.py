"""The GPUs of this machine, and the lines about the environment that stand above the table."""

import datetime
from collections.abc import Sequence

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
    from imgcls.backend import tf

    build = tf.sysconfig.get_build_info()
    versions = environment.get_versions()
    names = ("imgcls", "tensorflow", "keras", "numpy", "python")
    lines = {
        "GPUs": "; ".join(str(gpu.shown or gpu.device.name) for gpu in gpus),
        "driver": ", ".join(sorted({gpu.driver for gpu in driver.list_gpus()})),
        "TensorFlow built with": ", ".join(
            f"{label} {build.get(key, '-')}"
            for label, key in (("CUDA", "cuda_version"), ("cuDNN", "cudnn_version"))
        ),
        "versions": ", ".join(f"{name} {versions[name]}" for name in names),
        "date": datetime.date.today().isoformat(),
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())
