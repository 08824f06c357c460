"""Writes model.keras: atomically, and with the same bytes for the same weights. Heavy zone."""

import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from imgcls.backend import keras
from imgcls.io import files
from imgcls.io.records import to_json
from imgcls.training.model_description import MEMBER, ModelDescription

ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest timestamp that the ZIP format can hold."""


def make_plain_model(model: keras.Model) -> keras.Model:
    """Return a copy of a model with layers that Keras can load without imgcls.

    Custom layers, which only training needs, are replaced by what their `to_plain` returns.
    """
    plain = keras.models.clone_model(model, clone_function=_to_plain_layer)
    plain.set_weights(model.get_weights())
    return plain


def make_serving_model(plain: keras.Model, temperature: float) -> keras.Model:
    """Return the model for inference.

    Args:
        plain: from uint8 images (batch, height, width, channels) to logits (batch, classes).
        temperature: by which the logits are divided.

    Returns:
        A model from the same images to probabilities of the logits' dtype, at least float32.
    """
    logits = plain.outputs[0]
    scaled = keras.layers.Rescaling(1 / temperature, dtype=logits.dtype, name="temperature")(logits)
    return keras.Model(
        plain.inputs[0],
        keras.layers.Softmax(dtype=logits.dtype, name="probabilities")(scaled),
        name="imgcls",
    )


def _to_plain_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    return (
        layer.to_plain()
        if hasattr(layer, "to_plain")
        else type(layer).from_config(layer.get_config())
    )


def save_model(model: keras.Model, description: ModelDescription, path: Path) -> None:
    """Save a model and its description for `keras.models.load_model`.

    Timestamps and memory addresses, which Keras writes into the archive, are left out: the files
    of two identical runs would differ.
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
            # With a fourth member, Keras unpacks the archive to a temporary folder when it loads a
            # model, which takes 0.2 s for 100 MB.
            target.writestr(zipfile.ZipInfo(MEMBER, ZIP_EPOCH), to_json(description, indent=2))


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
