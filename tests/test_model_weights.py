"""Weights are read from model.keras without Keras, and counted as Keras counts them."""

import pytest

from imgcls.errors import DataError
from imgcls.training import model_weights
from imgcls.training.model_weights import count_parameters


def test_parameters_are_counted_as_keras_counts_them(tmp_path):
    from imgcls.backend import keras

    images = keras.Input((8, 8, 1))
    values = keras.layers.Conv2D(4, 3)(images)
    values = keras.layers.BatchNormalization()(values)
    values = keras.layers.Dropout(0.5)(keras.layers.Flatten()(values))
    model = keras.Model(images, keras.layers.Dense(3)(values))
    model.save(tmp_path / "model.keras")
    assert count_parameters(tmp_path / "model.keras") == model.count_params()
    weights = model_weights.read_weights(tmp_path / "model.keras").values()
    assert {(3, 3, 1, 4), (144, 3)} <= {array.shape for array in weights}


def test_a_damaged_archive_is_named_with_what_to_do(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"model\.keras is damaged .*; run the training command"):
        count_parameters(tmp_path / "model.keras")
