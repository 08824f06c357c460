"""Every model part, small enough for tests: found by listing the folder, and by what fields the
settings have, so that a new file is covered without being named.
"""

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hub_presets import write_preset

from imgcls import parts
from imgcls.models import ModelSettings, Problem
from imgcls.transfer.matching import Layer, match

NAMES = parts.list_names("models")
LARGE = ("efficientnet_lite", "keras_application", "mobilenet")
"""Models of many layers, whose tests take long."""
HUB = "keras_hub"
"""The model that needs an extra, by which its small preset is written."""


def mark(name: str, *values: Any, is_full: bool = False) -> Any:
    """Return a model's parameters for a test, which needs an extra for one of the models."""
    marks = [pytest.mark.full] * is_full
    if name == HUB:
        marks += [pytest.mark.extras, pytest.mark.filterwarnings("default")]  # the library's own
    return pytest.param(name, *values, marks=marks)


EACH = [mark(name) for name in NAMES]
"""The names, for tests of every model."""
MARKED = [mark(name, is_full=name in LARGE) for name in NAMES]
"""The names, for tests that are `full` of the large models."""
SMALL: dict[str, Any] = {
    "filters": [8, 8, 8],
    "dense": [8],
    "width": 8,
    "widen_factor": 1,
    "width_multiplier": 0.25,
    "dropout": 0.3,
    "stochastic_depth": 0.3,
    "depths": [1, 1],
    "widths": [8, 16],
}
"""Values for the fields of this name that a model's settings have."""


def shrink(name: str, **settings: Any) -> dict[str, Any]:
    """Return the mapping of a small model, with other settings as given: the least depth that it
    allows, few filters.
    """
    part = parts.load("models", name).Settings
    small = {key: value for key, value in SMALL.items() if key in part.model_fields}
    if name == HUB:
        small["preset"] = _write_small_preset().name
    if "depth" in part.model_fields:
        small["depth"] = next(depth for depth in range(1, 100) if _is_valid(part, name, depth))
    return {"name": name, **small, **settings}


def make_settings(name: str, **settings: Any) -> ModelSettings:
    """Return the settings of a small model."""
    return parts.load("models", name).Settings.model_validate(shrink(name, **settings))


def build(settings: ModelSettings, shape: tuple[int, int, int], classes: int = 10) -> Any:
    """Return the untrained model of some settings, as training builds it."""
    from imgcls.backend import keras

    problem = Problem(classes, [100.0] * shape[2], [50.0] * shape[2], dropout_seed=1)
    images = keras.Input(shape, dtype="uint8", name="images")
    logits = parts.load_for("models", settings).build(settings, images, problem)
    return register_rows(keras.Model(images, logits))


def register_rows(model: Any) -> Any:
    """Let a model be called with `step` and `first_row`, as training does."""
    from imgcls.models import _dropout

    return _dropout.register_rows(model)


def load_weights(model: Any, weights: Any) -> Any:
    """Load weights into the layers of a model by their names; return what became of each tensor."""
    from imgcls.training import layer_selection

    layers = [
        Layer(each.name, {variable.name: variable for variable in each.weights})
        for each in layer_selection.list_layers(model)
    ]
    matched = match(layers, weights, [], sums_channels=True)
    for (name, position), value in matched.values.items():
        model.get_layer(name).weights[position].assign(value)
    return matched


def compute_features(model: Any, images: Any) -> Any:
    """Return what the last dense layer gets."""
    from imgcls.backend import keras

    return keras.Model(model.input, model.get_layer("dropout").input)(images).numpy()


def count_parameters(model: Any) -> int:
    """Return the number of trainable parameters: papers do not count batch norm's averages."""
    return sum(variable.value.shape.num_elements() for variable in model.trainable_variables)


@lru_cache
def _write_small_preset() -> "tempfile.TemporaryDirectory[str]":
    """Write a preset once in a process, at whose end the folder is removed; return the folder."""
    folder = tempfile.TemporaryDirectory()
    write_preset(Path(folder.name))
    return folder


def _is_valid(part: Any, name: str, depth: int) -> bool:
    try:
        part(name=name, depth=depth)
    except ValueError:
        return False
    return True
