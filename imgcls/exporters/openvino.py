"""OpenVINO's IR, for Intel's CPUs, GPUs and NPUs.

https://docs.openvino.ai. Weights stay float32. The description is the entry `imgcls` of the model's
runtime information. By default, OpenVINO computes in bfloat16 where the processor can; set
INFERENCE_PRECISION_HINT to f32 for the numbers of model.keras. Light zone.
"""

import errno
import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

from imgcls.exporters import ConversionError, ExporterSettings

if TYPE_CHECKING:
    from imgcls.exporters import Runtime


class Settings(ExporterSettings):
    """The settings of OpenVINO."""

    file_name: ClassVar[str] = "model.xml"
    extra: ClassVar[str | None] = "openvino"
    packages: ClassVar[dict[str, str]] = {"openvino": "openvino"}


EXAMPLE = """
import openvino

options = {"INFERENCE_PRECISION_HINT": "f32"}  # by default bf16 on processors that have it
model = openvino.Core().compile_model(folder / "model.xml", "CPU", options)
probabilities = model(images)[0]
"""


def convert(saved_model: Path, target: Path, description: str) -> None:
    """Write the model as IR: `target` and, beside it, its weights in a .bin file.

    Raises:
        ConversionError: OpenVINO lacks an operation.
        OSError: the files cannot be written.
    """
    openvino = _import_openvino()
    try:
        model = openvino.Core().read_model(str(saved_model))
    except RuntimeError as error:
        found = re.search(r"No conversion rule found for operations: (.+)", str(error))
        operations = re.split(r"[,\s]+", found[1].strip()) if found else []
        raise ConversionError(str(error), operations) from None
    model.set_rt_info(description, ["imgcls"])
    try:
        openvino.save_model(model, str(target), compress_to_fp16=False)
    except Exception as error:  # the class that C++ streams raise
        if "iostream error" not in str(error):
            raise
        # OpenVINO does not say more; in a folder that was just made, it is a full disk.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None


def load(artifact: Path, threads: int) -> "Runtime":
    """Return the function that predicts with IR, in float32 on the CPU."""
    openvino = _import_openvino()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    model = openvino.Core().compile_model(str(artifact), "CPU", options)
    return lambda images: model(images)[0]


def _import_openvino() -> ModuleType:
    """Import OpenVINO without its telemetry, which would report each import to Intel."""
    # OpenVINO then has no telemetry, as where that package is not installed.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None is allowed
    import openvino

    return openvino
