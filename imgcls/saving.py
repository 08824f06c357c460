"""model.keras: written atomically, and with equal bytes for equal weights. Heavy zone."""

import json
import tempfile
import zipfile
from pathlib import Path

from imgcls import files
from imgcls.backend import keras

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip archive can state."""


def serving_model(model: keras.Model) -> keras.Model:
    """Return the model that people load: from raw uint8 pixels to probabilities, at least float32 (batch, classes)."""
    logits = model.outputs[0]
    return keras.Model(model.inputs, keras.layers.Softmax(dtype=logits.dtype, name="probabilities")(logits), name="imgcls")


def save(model: keras.Model, path: Path) -> None:
    """Save a Keras model so that `keras.models.load_model(path)` reads it without imgcls.

    Keras states the time in the archive; without it, the file's digest names its content, and two equal runs have equal files.
    """
    with files.explained(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".model-") as folder:
        plain = Path(folder) / "model.keras"
        model.save(plain)
        with files.replacing(path) as stream, zipfile.ZipFile(plain) as source, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as target:
            for name in sorted(source.namelist()):
                target.writestr(zipfile.ZipInfo(name, EPOCH), _without_date(name, source.read(name)))


def _without_date(name: str, content: bytes) -> bytes:
    if name != "metadata.json":
        return content
    metadata = json.loads(content)
    del metadata["date_saved"]
    return json.dumps(metadata).encode()
