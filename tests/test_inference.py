"""A model file that is not the run's model is named in one line."""

import io
import json
import zipfile
from types import SimpleNamespace

import numpy
import pytest
from damage import IN_ITS_PLACE, OF_BYTES, assert_refused_in_one_line
from experiments import as_they_are, describe_model

from imgcls.errors import DataError
from imgcls.evaluation import inference
from imgcls.training.model_description import read_description

IMAGES = numpy.zeros((3, 4, 4, 1), numpy.uint8)
CLASSES = ["cat", "\udcff"]
DESCRIPTION = describe_model(CLASSES, IMAGES.shape[1:], temperature=1.5)


def save_model(path, size=4, units=2, **description):
    from imgcls.backend import keras
    from imgcls.training import model_file

    model = keras.Sequential(
        [
            keras.Input((size, size, 1), dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(units, activation="softmax"),
        ]
    )
    model_file.save_model(model, DESCRIPTION.model_copy(update=description), path)


def predict(path):
    images, fingerprint = as_they_are(IMAGES), DESCRIPTION.fingerprint
    task = CLASSES, fingerprint
    return next(inference.predict(path, [images], numpy.arange(3), 2, "float32", *task))


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
    "no description": change_members(lambda members: members.pop("imgcls.json")),
    "broken description": change_members(lambda members: members.update({"imgcls.json": b"{"})),
    "description is a list": change_members(lambda members: members.update({"imgcls.json": b"[]"})),
    "negative temperature": change_members(
        lambda members: members.update(
            {"imgcls.json": members["imgcls.json"].replace(b"1.5", b"-1.5")}
        )
    ),
    "network of other images": lambda path: save_model(path, size=5),
    "network of other classes": lambda path: save_model(path, units=3),
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
    assert predict(path).shape == (3, 2)
    DAMAGES[damage](path)
    message = assert_refused_in_one_line(lambda: predict(path), path)
    assert "run the training command again without it, which writes a new one" in message


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"shape": (5, 4, 1)}, "its input shape is (5, 4, 1), but this run's is (4, 4, 1)"),
        ({"resize": "crop"}, "its resize policy is 'crop', but this run's is 'stretch'"),
        ({"classes": ["cat"]}, "its number of classes is 1, but this run's is 2"),
        ({"classes": CLASSES[::-1]}, r"its class 0 is '\udcff', but this run's is 'cat'"),
        (
            {"fingerprint": "other"},
            f"its data's fingerprint is 'other', but this run's is '{DESCRIPTION.fingerprint}'",
        ),
    ],
)
def test_the_model_of_another_run_is_an_error_that_names_the_difference(tmp_path, changes, problem):
    path = tmp_path / "model.keras"
    save_model(path, **changes)
    with pytest.raises(DataError) as caught:
        predict(path)
    assert str(caught.value) == (
        f"{path} is the model of another run: {problem}; run the training command again without"
        " it, which writes a new one"
    )


def test_a_model_file_that_is_missing_need_not_be_removed(tmp_path):
    with pytest.raises(DataError, match="No such file or directory; run the training command"):
        predict(tmp_path / "model.keras")


def test_the_description_in_a_model_file_is_read_back_with_names_that_are_not_utf_8(tmp_path):
    save_model(tmp_path / "model.keras")
    assert read_description(tmp_path / "model.keras") == DESCRIPTION
    assert DESCRIPTION.classes[1].encode(errors="surrogateescape") == b"\xff"


def test_outputs_are_predicted_in_smaller_batches_if_memory_runs_out(tmp_path, monkeypatch, capsys):
    from imgcls.backend import keras, tf

    images = numpy.random.default_rng(0).integers(0, 256, (10, 4, 4, 1), numpy.uint8)
    model = keras.Sequential([keras.Input((4, 4, 1), dtype="uint8"), keras.layers.Flatten()])
    sizes = []

    def read(indices):
        sizes.append(len(indices))
        if len(indices) > 3:
            raise tf.errors.ResourceExhaustedError(None, None, "too many")
        return images[indices]

    reader = SimpleNamespace(geometry=as_they_are(images).geometry, read=read)
    indices = numpy.array([9, 0, 3, 4])
    outputs = inference.predict_outputs(model, reader, indices, 9)
    numpy.testing.assert_array_equal(outputs, images[indices].reshape(4, 16))
    assert sorted(sizes) == [1, 3, 4, 4]
    assert "out of memory; predicting again in batches of 3" in capsys.readouterr().err
