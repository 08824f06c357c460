"""KerasHub's presets that can be built, found without importing it. Light zone.

A preset is a folder with the configuration of a backbone, its weights, and how images are converted
for it. KerasHub downloads its own; others are written by its `save_to_preset`.
"""

import ast
import importlib.util
import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from imgcls import parts
from imgcls.errors import DataError, UserError
from imgcls.io.data_file import DataFile

_CONFIG, _WEIGHTS, _TASK_WEIGHTS = "config.json", "model.weights.h5", "task.weights.h5"
ADVICE = "save the preset again, or give another one in model.preset"


class HubFamily(NamedTuple):
    """The backbones of a folder in keras_hub/src/models.

    Attributes:
        backbone: the name of their class.
        layer_types: as `ModelSettings.get_layer_types`.
        shape_key: the argument for the shape of the images.
    """

    backbone: str
    layer_types: frozenset[str]
    shape_key: str = "image_shape"


_NORM, _POOLING = "batch norm", "max pooling"
_BOTH = frozenset({_NORM, _POOLING})
FAMILIES = {
    "cspnet": HubFamily("CSPNetBackbone", _BOTH),
    "densenet": HubFamily("DenseNetBackbone", _BOTH),
    "efficientnet": HubFamily("EfficientNetBackbone", frozenset({_NORM}), "input_shape"),
    "resnet": HubFamily("ResNetBackbone", _BOTH),
    "vgg": HubFamily("VGGBackbone", frozenset({_POOLING})),
    "xception": HubFamily("XceptionBackbone", _BOTH),
}
"""Those that consist of Keras's own layers; from the source of KerasHub 0.32."""
OWN_LAYERS = (
    "has layers of KerasHub's own, whose batch norm and dropout imgcls cannot replace, and without"
    " which model.keras would not load; give a preset of Keras's layers, of"
    f" {', '.join(list(FAMILIES)[:-1])} or {list(FAMILIES)[-1]}, or another model"
)
"""Why other presets are refused, and what to do."""


class Preset(NamedTuple):
    """A preset that was found.

    Attributes:
        name: what KerasHub opens it by: its name, or the path of its folder.
        family: of its backbone.
        folder: with the files; None if KerasHub downloads them.
        channels: of the images that its backbone is for.
    """

    name: str
    family: HubFamily
    folder: Path | None = None
    channels: int = 3

    @property
    def source(self) -> str:
        """What it is, for messages."""
        return str(self.folder) if self.folder else f"{self.name} of KerasHub"

    @property
    def weights_file(self) -> Path | None:
        """The file of the backbone's weights; None if KerasHub downloads it."""
        return self.folder / _WEIGHTS if self.folder else None

    @property
    def task_weights_file(self) -> Path | None:
        """The file of the weights of a classifier's last layers; None if there is none here."""
        path = self.folder / _TASK_WEIGHTS if self.folder else None
        return path if path and path.exists() else None


def find_preset(given: str) -> Preset:
    """Return the preset of a name or a folder.

    Raises:
        UserError: KerasHub is not installed, it has no such preset, and there is no such folder;
            or it is of a family that cannot be built.
        DataError: the folder has no readable configuration.
    """
    families = list_presets()
    if given in families:
        family = families[given]
        if family not in FAMILIES:
            raise UserError(f"model.preset: {given}, of KerasHub's {family}, {OWN_LAYERS}")
        return Preset(given, FAMILIES[family])
    folder = Path(given).expanduser()
    if folder.is_dir():
        return _read_folder(folder)
    names = [name for name, family in families.items() if family in FAMILIES]
    raise UserError(
        f"model.preset: {given} is neither a preset of KerasHub nor a folder"
        f"{parts.suggest(given, names)}; it has {', '.join(names)}"
    )


@lru_cache
def list_presets() -> dict[str, str]:
    """Return the family of each of KerasHub's presets, read from its source.

    Raises:
        UserError: it is not installed.
    """
    found = importlib.util.find_spec("keras_hub")
    if found is None or found.origin is None:
        raise UserError(
            "model keras_hub needs KerasHub, which is not installed; run: pip install 'imgcls[hub]'"
        )
    models = Path(found.origin).parent / "src" / "models"
    return {
        name: path.parent.name
        for path in sorted(models.glob("*/*_presets.py"))
        for name in _list_names(ast.parse(path.read_text()))
    }


def _list_names(module: ast.Module) -> list[str]:
    """Return the keys of the dictionaries at the top of a module: the names of presets."""
    return [
        key.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)
        for key in node.value.keys
        if isinstance(key, ast.Constant) and isinstance(key.value, str)
    ]


def _read_folder(folder: Path) -> Preset:
    """Return the preset that KerasHub saved to a folder.

    Raises:
        UserError: it is of no family that can be built, or KerasHub did not save it.
        DataError: it has no readable configuration, or no weights.
    """
    file = DataFile(folder / _CONFIG, ADVICE)
    try:
        config: Any = json.loads(file.read_bytes())
    except ValueError as error:
        raise file.make_damage_error(str(error)) from None
    if not isinstance(config, dict) or "registered_name" not in config:
        raise UserError(f"model.preset: {folder} was not saved by KerasHub: {CONVERTED}")
    families = {f"keras_hub>{each.backbone}": each for each in FAMILIES.values()}
    family = families.get(str(config["registered_name"]))
    if family is None:
        raise UserError(f"model.preset: {folder}, a {config.get('class_name')}, {OWN_LAYERS}")
    if not (folder / _WEIGHTS).is_file():
        raise DataError(f"model.preset: {folder} has no {_WEIGHTS}; {ADVICE}")
    try:
        channels = int(config["config"][family.shape_key][-1])
    except (KeyError, IndexError, TypeError, ValueError):
        raise file.make_damage_error(f"it has no {family.shape_key}") from None
    return Preset(str(folder), family, folder, channels)


CONVERTED = (
    "models that KerasHub converts from other libraries, such as timm, give logits that differ from"
    " the originals' by 3 or more; give one of KerasHub's own presets, or a folder that its"
    " save_to_preset wrote"
)
"""Why presets of other libraries are refused, and what to do."""
