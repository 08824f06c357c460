"""Takes the weights of a model that Keras has loaded, such as an application. Heavy zone."""

import hashlib
import os
import re
from pathlib import Path

import numpy

from imgcls.backend import keras
from imgcls.errors import DataError
from imgcls.training import layer_selection
from imgcls.transfer.weights import Leftover, Tensor, TrainedOn, Weights


def read_model(model: keras.Model, source: str, trained_on: TrainedOn | None) -> Weights:
    """Return the weights of a model, by the names of its layers.

    Args:
        trained_on: None if it is unknown.
    """
    layers = {layer.name: _list_tensors(layer) for layer in layer_selection.list_layers(model)}
    leftovers = [
        Leftover(tensor, "the model scales pixels by constants")
        for layer in model.layers
        if isinstance(layer, keras.layers.Normalization)
        for tensor in _list_tensors(layer)
    ]
    digest = hashlib.sha256()
    for tensor in [tensor for tensors in layers.values() for tensor in tensors]:
        digest.update(f"{tensor.array.dtype}{tensor.array.shape}".encode())
        digest.update(numpy.ascontiguousarray(tensor.array).data)
    return Weights(
        source=source,
        path=None,
        sha256=digest.hexdigest(),
        layers=layers,
        leftovers=leftovers,
        trained_on=trained_on,
        is_complete=True,
    )


def _list_tensors(layer: keras.layers.Layer) -> list[Tensor]:
    return [Tensor(f"{layer.name}/{variable.name}", variable.numpy()) for variable in layer.weights]


def explain_download(error: Exception) -> None:
    """Raise a `DataError` if an error says that Keras could not download a file.

    Raises:
        DataError: it says what to fetch, and where to put it.
    """
    failed = re.match(r"URL fetch failure on (\S+): (.*)", str(error), re.DOTALL)
    corrupt = re.match(r"Incomplete or corrupted file detected.*", str(error), re.DOTALL)
    folder = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models"
    if failed:
        url, reason = failed[1], failed[2].removeprefix("None -- ")
        raise DataError(
            f"model.weights: Keras cannot download {url} ({reason}); fetch it on another machine,"
            f" and save it as {folder / url.rpartition('/')[2]}"
        ) from None
    if corrupt:
        raise DataError(
            f"model.weights: {' '.join(str(error).split())}; remove the file from {folder}"
        ) from None
