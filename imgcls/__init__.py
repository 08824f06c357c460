"""imgcls: train, evaluate and use image classifiers, from one YAML file. Light zone."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgcls.prediction.classifier import Classifier

__version__ = "0.2.0.dev0"


def load(run: "str | os.PathLike[str]", batch_size: int | None = None) -> "Classifier":
    """Load the model of a run, which predicts on image files and arrays; imports TensorFlow.

        model = imgcls.load("runs/digits/1")
        result = model.predict(["three.png", "seven.png"])
        print(result.predicted, result.probabilities)

    Args:
        run: the folder of a run; of an unfinished one, its best weights so far are used.
        batch_size: images per step; that of the training unless given, with which the results are
            those of `imgcls eval` bit for bit.

    Raises:
        UserError: the folder is not a run, or its device cannot be used.
        DataError: a file of the run is missing or damaged, or the run has no checkpoint.
    """
    from imgcls.prediction.classifier import load

    return load(run, batch_size)
