"""What holds for every part, found by listing the folders."""

import itertools
import re
from typing import Any

import pytest
import small_models

from imgcls import parts, schedules
from imgcls.errors import UserError

FUNCTIONS = {
    "augmentations": ("compute", "mix"),
    "checks": ("find",),
    "compressors": ("compress", "convert"),
    "corruptions": ("corrupt",),
    "datasets": ("prepare",),
    "explainers": ("explain",),
    "exporters": ("convert",),
    "figures": ("draw",),
    "losses": ("compute",),
    "metrics": ("compute",),
    "models": ("build",),
    "optimizers": ("build",),
    "pruners": ("build",),
    "samplers": ("build", "list_points"),
    "schedules": ("compute",),
    "strategies": ("build",),
}
ALL = [(kind, name) for kind in parts.KINDS for name in parts.list_names(kind)]
SWITCHES = {"batch_norm": (False, True), "pooling": (1, 2), "stem": (None, "3x3", "7x7")}
"""Settings that switch off and on what a model part's `get_layer_types` tells."""
SIZES = (32, 72)
"""Height and width of small and large images, for which a model's stem may differ."""


def test_every_kind_is_a_folder_of_parts_and_has_its_function():
    assert set(parts.KINDS) == set(FUNCTIONS)
    assert all(parts.list_names(kind) for kind in parts.KINDS)


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_part_has_a_docstring_settings_and_its_function(kind, name):
    module = parts.load(kind, name)
    assert module.__doc__.strip()
    assert module.Settings.__doc__
    functions = [getattr(module, name) for name in FUNCTIONS[kind] if hasattr(module, name)]
    assert len(functions) == 1
    assert functions[0].__doc__


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_a_part_forbids_unknown_settings(kind, name):
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        parts.load(kind, name).Settings.model_validate({"name": name, "no_such_setting": 1})


def test_describe_lists_each_part_with_the_first_line_of_its_docstring():
    described = parts.describe("optimizers")
    assert {"optimizers/adam", "optimizers/adamw", "optimizers/sgd"} < set(described)
    assert described["optimizers/sgd"].startswith("SGD with momentum")
    assert len(parts.describe(None)) == len(ALL)


def test_an_unknown_kind_is_refused_with_the_nearest_one():
    with pytest.raises(UserError, match="did you mean 'models'"):
        parts.describe("model")


def test_a_broken_part_file_raises_its_own_error(tmp_path, monkeypatch):
    (tmp_path / "probe.py").write_text("raise RuntimeError('broken on purpose')\n")
    monkeypatch.setattr(parts, "list_names", lambda kind: ["probe"])
    monkeypatch.setattr(schedules, "__path__", [str(tmp_path)])
    with pytest.raises(RuntimeError, match="broken on purpose"):
        parts.load("schedules", "probe")


def _variants() -> list[Any]:
    """Return every model part with each combination of its switches."""
    found = []
    for name in parts.list_names("models"):
        present = [
            switch
            for switch in SWITCHES
            if switch in parts.load("models", name).Settings.model_fields
        ]
        found += [
            small_models.mark(name, dict(zip(present, values, strict=True)))
            for values in itertools.product(*[SWITCHES[each] for each in present])
        ]
    return found


def _list_layers(settings: Any, size: int = 32) -> list[Any]:
    """Return a model of 3 classes and its layers, and theirs."""
    layers = [small_models.build(settings, (size, size, 3), classes=3)]
    for layer in layers:  # which grows
        layers += getattr(layer, "layers", [])
    return layers


@pytest.mark.parametrize(("name", "switches"), _variants())
def test_get_layer_types_names_the_layers_of_the_model(name, switches):
    from imgcls.backend import keras

    settings = small_models.make_settings(name, **switches)
    kinds = {type(layer) for size in SIZES for layer in _list_layers(settings, size)}
    operations = {
        "max pooling": keras.layers.MaxPooling2D,
        "batch norm": keras.layers.BatchNormalization,
    }
    assert settings.get_layer_types() == {
        operation
        for operation, kind in operations.items()
        if any(issubclass(each, kind) for each in kinds)
    }


@pytest.mark.parametrize(
    "name", [name for name in parts.list_names("models") if name != small_models.HUB]
)
def test_the_default_widths_are_multiples_of_8_as_tensor_cores_need(name):
    """All layers have them but the last, which has as many units as there are classes."""
    layers = _list_layers(parts.make_default_settings("models", name))
    widths = {layer.name: layer.output.shape[-1] for layer in layers if hasattr(layer, "kernel")}
    assert widths.pop("logits") == 3
    assert widths
    assert {layer: width for layer, width in widths.items() if width % 8} == {}


def test_every_part_says_what_it_is_and_leaves_its_zone_out():
    for kind, name in ALL:
        summary = parts.summarize(parts.load(kind, name))
        assert re.search(r"\w", summary), f"{kind}/{name}"
        assert "zone" not in summary, f"{kind}/{name}"
