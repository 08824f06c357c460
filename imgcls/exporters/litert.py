"""LiteRT, formerly TensorFlow Lite: one small file for phones, boards, browsers and CPUs.

https://ai.google.dev/edge/litert. Only LiteRT's own operations are used, so that every interpreter
runs the file. The description is appended as a ZIP archive, as TensorFlow Lite's metadata does it
with associated files: `unzip -p model.tflite imgcls.json` prints it. Light zone.
"""

import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from imgcls.exporters import ConversionError, ExporterSettings

if TYPE_CHECKING:
    import numpy

    from imgcls.exporters import Runtime


class Settings(ExporterSettings):
    """The settings of LiteRT."""

    file_name: ClassVar[str] = "model.tflite"
    extra: ClassVar[str | None] = "litert"
    packages: ClassVar[dict[str, str]] = {"ai-edge-litert": "ai_edge_litert"}


EXAMPLE = """
from ai_edge_litert.interpreter import Interpreter

model = Interpreter(str(folder / "model.tflite"), num_threads=1)
(source,), (target,) = model.get_input_details(), model.get_output_details()
model.resize_tensor_input(source["index"], images.shape)
model.allocate_tensors()
model.set_tensor(source["index"], images)
model.invoke()
probabilities = model.get_tensor(target["index"])
"""


def convert(saved_model: Path, target: Path, description: str) -> None:
    """Write the model as a file of LiteRT.

    Raises:
        ConversionError: LiteRT lacks an operation.
    """
    from imgcls.backend import tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model))
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        content = converter.convert()
    except Exception as error:  # its class is private
        operations = re.findall(r"'tf\.(\w+)' op is neither", str(error))
        raise ConversionError(str(error), list(dict.fromkeys(operations))) from None
    target.write_bytes(content)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("imgcls.json", description)


def load(artifact: Path, threads: int) -> "Runtime":
    """Return the function that predicts with a file of LiteRT."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(artifact), num_threads=threads)
    interpreter.allocate_tensors()  # now, since it logs
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    shape: tuple[int, ...] = ()

    def predict(images: "numpy.ndarray") -> "numpy.ndarray":
        nonlocal shape
        if images.shape != shape:
            interpreter.resize_tensor_input(source["index"], images.shape)
            interpreter.allocate_tensors()
            shape = images.shape
        interpreter.set_tensor(source["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(target["index"])

    return predict
