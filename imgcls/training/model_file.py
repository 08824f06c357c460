"""Writes model.keras: atomically, and with the same bytes for the same weights. Heavy zone."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from imgcls.backend import keras
from imgcls.io import files

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest timestamp that the ZIP format can hold."""


def make_serving_model(model: keras.Model) -> keras.Model:
    """Return the model for inference, which Keras can load without imgcls.

    Custom layers, which only training needs, are replaced by what their `to_plain` returns.

    Args:
        model: from uint8 images to logits.

    Returns:
        A model from uint8 images (batch, height, width, channels) to probabilities (batch, classes)
        of the logits' dtype, at least float32.
    """
    plain = keras.models.clone_model(model, clone_function=_to_plain_layer)
    plain.set_weights(model.get_weights())
    logits = plain.outputs[0]
    return keras.Model(
        plain.inputs[0],
        keras.layers.Softmax(dtype=logits.dtype, name="probabilities")(logits),
        name="imgcls",
    )


def _to_plain_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    return (
        layer.to_plain()
        if hasattr(layer, "to_plain")
        else type(layer).from_config(layer.get_config())
    )


def save_model(model: keras.Model, path: Path) -> None:
    """Save a model for `keras.models.load_model`, without timestamps and memory addresses.

    Keras writes both into the archive, so that the files of two identical runs would differ.
    """
    with (
        files.explain_errors(path),
        tempfile.TemporaryDirectory(dir=path.parent, prefix=".model-") as folder,
    ):
        plain = Path(folder) / path.name
        model.save(plain)
        with (
            files.replace_file(path) as stream,
            zipfile.ZipFile(plain) as source,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as target,
        ):
            for name in sorted(source.namelist()):
                content = source.read(name)
                target.writestr(
                    zipfile.ZipInfo(name, ZIP_EPOCH),
                    _remove_volatile_fields(content) if name.endswith(".json") else content,
                )


def _remove_volatile_fields(content: bytes) -> bytes:
    """Remove the date from a JSON file of the archive, and number shared objects from 0.

    Keras identifies shared objects by their memory address.
    """
    numbers: dict[int, int] = {}

    def replace(mapping: dict[str, Any]) -> dict[str, Any]:
        mapping.pop("date_saved", None)
        if "shared_object_id" in mapping:
            mapping["shared_object_id"] = numbers.setdefault(
                mapping["shared_object_id"], len(numbers)
            )
        return mapping

    return json.dumps(json.loads(content, object_hook=replace)).encode()
