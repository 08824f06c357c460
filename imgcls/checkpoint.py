"""The training state on disk: every variable that training changes, and the counters around them, in one file. Heavy zone.

`save_weights` and `tf.train.Checkpoint` leave out the dropout seed states; `model.variables` holds them.
"""

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy

from imgcls import files, loop
from imgcls.backend import keras
from imgcls.errors import DataError

COUNTERS = "counters"


@dataclass
class Counters:
    """The part of the training state that is not in variables; saved with every checkpoint.

    Attributes:
        step: steps done, over all epochs.
        sums: over the steps of the present epoch (see loop.py).
        seconds: spent on the steps of the present epoch.
        epochs: the log so far.
    """

    step: int = 0
    sums: list[float] = field(default_factory=lambda: loop.no_sums().tolist())
    seconds: float = 0.0
    epochs: list[dict[str, Any]] = field(default_factory=list)


def save(path: Path, variables: list[keras.Variable], counters: dict[str, Any]) -> None:
    """Write variables and counters to one .npz file, which replaces the last one as a whole.

    Args:
        counters: a JSON object.
    """
    arrays = {f"{number:05d}": variable.value.numpy() for number, variable in enumerate(variables)}
    text = json.dumps({"counters": counters, "paths": [variable.path for variable in variables]}, allow_nan=False)
    with files.replacing(path) as stream:
        numpy.savez(stream, **arrays, **{COUNTERS: numpy.frombuffer(text.encode(), numpy.uint8)})


def load(path: Path, variables: list[keras.Variable]) -> dict[str, Any]:
    """Assign what `save` wrote to variables that are already built; return the counters.

    Raises:
        DataError: the file is damaged, or was written for other variables.
    """
    try:
        with path.open("rb") as stream, numpy.load(stream, allow_pickle=False) as arrays:
            header = json.loads(arrays[COUNTERS].tobytes())
            values = [arrays[f"{number:05d}"] for number in range(len(header["paths"]))]
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise DataError(f"{path} is damaged ({error}); delete the folder {path.parent} to train this run from its start") from None
    expected = [(variable.path, tuple(variable.shape)) for variable in variables]
    found = [(name, value.shape) for name, value in zip(header["paths"], values, strict=True)]
    if expected != found:
        raise DataError(f"{path} holds other variables than this model and optimizer; was imgcls changed? Start a new run")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return header["counters"]
