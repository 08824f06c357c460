"""The GPUs of this machine, and the lines about the environment that stand above the table."""

import datetime
from collections.abc import Sequence

from imgcls import environment
from imgcls.device import driver, usable
from imgcls.errors import UserError


def find_gpus() -> tuple[driver.Gpu, ...]:
    """Return the GPUs that TensorFlow can use.

    Raises:
        UserError: this machine has none, none is visible, or TensorFlow cannot use one.
    """
    gpus = driver.list_gpus()
    if gpus and usable.list_usable_gpus():
        return gpus
    raise UserError("there is no GPU here, and every check needs one; nothing was run")


def format_environment(gpus: Sequence[driver.Gpu]) -> str:
    """Return the environment of the checks as a list in Markdown."""
    from imgcls.backend import tf

    build = tf.sysconfig.get_build_info()
    versions = environment.get_versions()
    names = ("imgcls", "tensorflow", "keras", "numpy", "python")
    lines = {
        "GPUs": "; ".join(map(str, gpus)),
        "driver": ", ".join(sorted({gpu.driver for gpu in gpus})),
        "TensorFlow built with": ", ".join(
            f"{label} {build.get(key, '-')}"
            for label, key in (("CUDA", "cuda_version"), ("cuDNN", "cudnn_version"))
        ),
        "versions": ", ".join(f"{name} {versions[name]}" for name in names),
        "date": datetime.date.today().isoformat(),
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())
