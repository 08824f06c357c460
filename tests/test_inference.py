"""A model file that is not the run's model is named in one line."""

import io
import json
import zipfile

import numpy
import pytest
from damage import IN_ITS_PLACE, OF_BYTES, assert_refused_in_one_line
from experiments import as_they_are

from imgcls.evaluation import inference

IMAGES = numpy.zeros((3, 4, 4, 1), numpy.uint8)
CLASSES = 2


def save_model(path, size=4, classes=CLASSES):
    from imgcls.backend import keras

    keras.Sequential(
        [
            keras.Input((size, size, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    ).save(path)


def predict(path):
    return inference.predict(path, as_they_are(IMAGES), numpy.arange(3), 2, CLASSES)


def change_members(change):
    """Return what rewrites the archive of a model with other members."""

    def damage(path):
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        change(members)
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        path.write_bytes(stream.getvalue())

    return damage


DAMAGES = {
    **IN_ITS_PLACE,
    **OF_BYTES,
    "no config": change_members(lambda members: members.pop("config.json")),
    "no weights": change_members(lambda members: members.pop("model.weights.h5")),
    "broken config": change_members(lambda members: members.update({"config.json": b"{"})),
    "config of nothing": change_members(lambda members: members.update({"config.json": b"{}"})),
    "config is a list": change_members(lambda members: members.update({"config.json": b"[]"})),
    "deep config": change_members(
        lambda members: members.update({"config.json": b"[" * 100_000 + b"]" * 100_000})
    ),
    "another class": change_members(
        lambda members: members.update(
            {
                "config.json": json.dumps(
                    {"module": "os", "class_name": "system", "config": {}}
                ).encode()
            }
        )
    ),
    "broken weights": change_members(
        lambda members: members.update({"model.weights.h5": b"x" * 100})
    ),
    "other images": lambda path: save_model(path, size=5),
    "other classes": lambda path: save_model(path, classes=CLASSES + 1),
    "weights of other classes": change_members(
        lambda members: members.update(
            {"config.json": members["config.json"].replace(b'"units": 2', b'"units": 3')}
        )
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_file_is_a_one_line_error(damage, tmp_path):
    path = tmp_path / "model.keras"
    save_model(path)
    assert predict(path).shape == (3, CLASSES)
    DAMAGES[damage](path)
    message = assert_refused_in_one_line(lambda: predict(path), path)
    assert "run the training command again, which writes a new one" in message
