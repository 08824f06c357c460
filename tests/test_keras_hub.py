"""Which presets of KerasHub are found and refused; KerasHub, an extra, need not be installed."""

import json
import sys

import pytest
import small_models
from experiments import TINY, command, write_experiment

from imgcls import parts
from imgcls.errors import DataError, UserError
from imgcls.models import _hub_presets

PART = parts.load("models", "keras_hub")
PRESETS = {
    "bert": '"""BERT."""\n\nbackbone_presets = {"bert_base_en": {"kaggle_handle": "kaggle://x"}}\n',
    "resnet": 'backbone_presets = {"resnet_18_imagenet": {}, "resnet_vd_50_imagenet": {}}\n',
    "mit": 'with_weights = {"mit_b0": {}}\nbackbone_presets = {**with_weights}\n',
}
"""Modules of presets, by family, in the forms that KerasHub has."""
CONFIG = {
    "class_name": "ResNetBackbone",
    "registered_name": "keras_hub>ResNetBackbone",
    "config": {"image_shape": [None, None, 3]},
}


@pytest.fixture(autouse=True)
def forgotten_presets():
    """Let each test find the presets anew."""
    _hub_presets.list_presets.cache_clear()
    yield
    _hub_presets.list_presets.cache_clear()


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A stand-in for KerasHub with three families, of which only the names can be read."""
    package = tmp_path / "library" / "keras_hub"
    for family, text in PRESETS.items():
        folder = package / "src" / "models" / family
        folder.mkdir(parents=True)
        (folder / f"{family}_presets.py").write_text(text)
    (package / "__init__.py").write_text("raise RuntimeError('it must not be imported')\n")
    monkeypatch.delitem(sys.modules, "keras_hub", raising=False)
    monkeypatch.syspath_prepend(str(package.parent))


@pytest.fixture
def no_library(monkeypatch):
    """Let KerasHub not be installed."""
    monkeypatch.setitem(sys.modules, "keras_hub", None)


def make_settings(**settings):
    return PART.Settings(name="keras_hub", **settings)


def write_folder(folder, config=CONFIG, weights=b""):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.weights.h5").write_bytes(weights)
    return make_settings(preset=str(folder), weights="imagenet")


@pytest.mark.parametrize(
    "preset", ["hf://timm/resnet18.a1_in1k", "kaggle://keras/resnetv1/keras/resnet_18_imagenet"]
)
def test_a_handle_is_refused_with_the_reason(preset):
    message = rf"preset\n.* is '{preset}', but models that KerasHub converts .* by 3 or more; give"
    with pytest.raises(ValueError, match=message):
        make_settings(preset=preset)


def test_without_the_library_the_error_has_the_line_that_installs_it(no_library):
    message = r"needs KerasHub, which is not installed; run: pip install 'imgcls\[hub\]'"
    with pytest.raises(UserError, match=message):
        make_settings(weights="imagenet").find_imagenet()
    with pytest.raises(UserError, match=message):
        small_models.build(make_settings(), (32, 32, 3))
    assert make_settings().get_layer_types() == set()


def test_a_run_without_the_library_ends_in_one_line(no_library, digits, workspace):
    data = digits().data.model_dump()
    experiment = write_experiment(
        workspace, {**TINY, "data": data, "model": {"name": "keras_hub", "weights": "imagenet"}}
    )
    exit_code, stdout, stderr = command("train", experiment, "--run", "run")
    assert (exit_code, stdout) == (2, "")
    assert "pip install 'imgcls[hub]'" in stderr
    assert "Traceback" not in stderr
    assert not (workspace / "run").exists()


def test_presets_are_found_without_importing_the_library(library):
    assert make_settings(weights="imagenet").find_imagenet() is None
    preset = _hub_presets.find_preset("resnet_vd_50_imagenet")
    assert (preset.source, preset.channels) == ("resnet_vd_50_imagenet of KerasHub", 3)
    assert make_settings().get_layer_types() == {"batch norm", "max pooling"}


@pytest.mark.parametrize(
    ("preset", "message"),
    [
        ("resnet18_imagenet", r"neither .* nor a folder \(did you mean 'resnet_18_imagenet'\?\)"),
        ("bert_base_en", r"of KerasHub's bert, has layers of KerasHub's own"),
        ("mit_b0", r"of KerasHub's mit, has layers of KerasHub's own"),
    ],
)
def test_other_presets_are_refused(library, preset, message):
    with pytest.raises(UserError, match=rf"model\.preset: {preset}.*{message}"):
        make_settings(preset=preset, weights="imagenet").find_imagenet()


def test_the_folder_of_a_preset_is_found(library, tmp_path):
    settings = write_folder(tmp_path / "own")
    assert settings.find_imagenet() == tmp_path / "own" / "model.weights.h5"
    assert settings.get_layer_types() == {"batch norm", "max pooling"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"architecture": "resnet18"}, r"was not saved by KerasHub: models that KerasHub converts"),
        ({"model_type": "resnet"}, r"was not saved by KerasHub: models that KerasHub converts"),
        ([], r"was not saved by KerasHub"),
        (CONFIG | {"registered_name": "keras_hub>ViTBackbone"}, r"has layers of KerasHub's own"),
        (CONFIG | {"registered_name": "Functional"}, r"has layers of KerasHub's own"),
        (CONFIG | {"config": {}}, r"config\.json is damaged \(it has no image_shape\)"),
    ],
)
def test_a_folder_of_something_else_is_refused(library, tmp_path, config, message):
    with pytest.raises(UserError, match=message):
        write_folder(tmp_path / "own", config).find_imagenet()


def test_a_damaged_folder_is_an_error_that_names_the_file(library, tmp_path):
    settings = write_folder(tmp_path / "own")
    (tmp_path / "own" / "model.weights.h5").unlink()
    with pytest.raises(DataError, match=r"own has no model\.weights\.h5; save the preset again"):
        settings.find_imagenet()
    (tmp_path / "own" / "config.json").write_text("{")
    with pytest.raises(DataError, match=r"config\.json is damaged \(Expecting property name"):
        settings.find_imagenet()
    (tmp_path / "own" / "config.json").unlink()
    with pytest.raises(DataError, match=r"cannot read .*config\.json: No such file"):
        settings.find_imagenet()
