"""The model of a run that was compressed to LiteRT, in its own runtime. Heavy zone."""

from pathlib import Path

import numpy

from imgcls import parts
from imgcls.errors import OutOfMemoryError
from imgcls.evaluation.compiled_model import count_threads
from imgcls.io.data_file import DataFile
from imgcls.training.model_description import ADVICE

SUFFIX = ".tflite"
"""The end of the name of its file."""


class LiteRTModel:
    """Predicts batches in LiteRT, on the CPU, with the threads of TensorFlow in this process.

    Args:
        path: a file of LiteRT, from uint8 images (batch, height, width, channels) to probabilities.
        shape: height, width and channels of the images.
        classes: number of classes.

    Raises:
        UserError: the runtime is not installed.
        DataError: the file is missing or damaged.
        OutOfMemoryError: it does not fit the memory.
    """

    output_dtype = numpy.float32

    def __init__(self, path: Path, shape: tuple[int, int, int], classes: int):
        parts.make_default_settings("exporters", "litert").require_packages()
        file = DataFile(path, ADVICE)
        file.require_regular()
        self.output_shape = (classes,)
        try:
            self._run = parts.load("exporters", "litert").load(path, count_threads())
            found = self._run(numpy.zeros((1, *shape), numpy.uint8)).shape
        except MemoryError:
            raise OutOfMemoryError(f"out of memory while loading {path}") from None
        except Exception as error:  # the runtime raises nearly anything
            raise file.make_damage_error(str(error).partition("\n")[0]) from None
        if found != (1, classes):
            raise file.make_damage_error(
                f"it gives {found} for an image, but this run has {classes} classes"
            )

    def predict(self, images: numpy.ndarray) -> list[numpy.ndarray]:
        """Return a list of one output: probabilities of images, float32 (images, classes)."""
        return [self._run(images)]
