"""TensorFlow's SavedModel, for TensorFlow Serving and TensorFlow in any language.

https://www.tensorflow.org/guide/saved_model. The description is in `assets.extra`, the folder for
files that TensorFlow does not read itself. Threads are those of TensorFlow's process. Light zone.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from imgcls.exporters import IMAGES, PROBABILITIES, ExporterSettings

if TYPE_CHECKING:
    import numpy

    from imgcls.exporters import Runtime


class Settings(ExporterSettings):
    """The settings of the SavedModel."""

    file_name: ClassVar[str] = "model"
    packages: ClassVar[dict[str, str]] = {"tensorflow": "tensorflow"}


EXAMPLE = """
import tensorflow

model = tensorflow.saved_model.load(str(folder / "model"))
predict = model.signatures["serving_default"]
probabilities = predict(images=tensorflow.constant(images))["probabilities"].numpy()
"""


def convert(saved_model: Path, target: Path, description: str) -> None:
    """Copy the SavedModel, and add the description."""
    shutil.copytree(saved_model, target)
    extra = target / "assets.extra"
    extra.mkdir()
    (extra / "imgcls.json").write_text(description)


def load(artifact: Path, threads: int) -> "Runtime":
    """Return the function that predicts with a SavedModel.

    Raises:
        ValueError: TensorFlow has another number of threads in this process.
    """
    from imgcls.backend import tf
    from imgcls.environment import count_cores

    own = tf.config.threading.get_intra_op_parallelism_threads() or count_cores()
    if own != threads:
        raise ValueError(f"TensorFlow has {own} threads in this process, not {threads}")
    model = tf.saved_model.load(str(artifact))

    def predict(images: "numpy.ndarray") -> "numpy.ndarray":
        # Through `model`, since variables live only as long as the object that holds them.
        function = model.signatures["serving_default"]
        return function(**{IMAGES: tf.constant(images)})[PROBABILITIES].numpy()

    return predict
