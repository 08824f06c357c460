"""What is known of the networks in keras.applications, without importing Keras. Light zone."""

import ast
import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

Preprocessing = Literal["caffe", "tf", "torch", "centered"]
"""What becomes of a pixel x: as in `imagenet_utils.preprocess_input`,

- caffe: x - mean, in the order blue, green, red;
- tf: x / 127.5 - 1;
- torch: (x / 255 - mean) / std;

and centered: x / 128 - 1, which is in the larger EfficientNetV2.
"""


class ApplicationFamily(NamedTuple):
    """The networks of a module of keras.applications.

    Attributes:
        preprocessing: what their ImageNet weights expect.
        layer_types: as `ModelSettings.get_layer_types`.
        arguments: those that leave out preprocessing, which we add ourselves.
    """

    preprocessing: Preprocessing
    layer_types: frozenset[str]
    arguments: Mapping[str, Any] = MappingProxyType({})


_NORM, _POOLING = "batch norm", "max pooling"
_BOTH, _NORM_ONLY = frozenset({_NORM, _POOLING}), frozenset({_NORM})
_WITHOUT = MappingProxyType({"include_preprocessing": False})
FAMILIES = {
    "convnext": ApplicationFamily("torch", frozenset(), _WITHOUT),
    "densenet": ApplicationFamily("torch", _BOTH),
    # Its own preprocessing cannot be left out, so that it is removed (`_application_layers`). It
    # divides by the std only if `weights` is "imagenet", and not for a file of the same weights.
    "efficientnet": ApplicationFamily("torch", _NORM_ONLY),
    "efficientnet_v2": ApplicationFamily("torch", _NORM_ONLY, _WITHOUT),
    "inception_resnet_v2": ApplicationFamily("tf", _BOTH),
    "inception_v3": ApplicationFamily("tf", _BOTH),
    "mobilenet": ApplicationFamily("tf", _NORM_ONLY),
    "mobilenet_v2": ApplicationFamily("tf", _NORM_ONLY),
    "mobilenet_v3": ApplicationFamily("tf", _NORM_ONLY, _WITHOUT),
    "nasnet": ApplicationFamily("tf", _BOTH),
    "resnet": ApplicationFamily("caffe", _BOTH),
    "resnet_v2": ApplicationFamily("tf", _BOTH),
    "vgg16": ApplicationFamily("caffe", frozenset({_POOLING})),
    "vgg19": ApplicationFamily("caffe", frozenset({_POOLING})),
    "xception": ApplicationFamily("tf", _BOTH),
}
"""By module; from the source of keras.applications 3.15."""
OWN_PREPROCESSING = ("rescaling", "normalization")
"""The names of layers at the start of EfficientNetB0 to B7; ours have other names."""
_CENTERED = ("EfficientNetV2S", "EfficientNetV2M", "EfficientNetV2L")
SIZES = {
    "EfficientNetB1": 240,
    "EfficientNetB2": 260,
    "EfficientNetB3": 300,
    "EfficientNetB4": 380,
    "EfficientNetB5": 456,
    "EfficientNetB6": 528,
    "EfficientNetB7": 600,
    "EfficientNetV2B1": 240,
    "EfficientNetV2B2": 260,
    "EfficientNetV2B3": 300,
    "EfficientNetV2S": 384,
    "EfficientNetV2M": 480,
    "EfficientNetV2L": 480,
    "InceptionResNetV2": 299,
    "InceptionV3": 299,
    "NASNetLarge": 331,
    "Xception": 299,
}
"""Height and width of the images that ImageNet weights were trained on, if it is not 224."""


@lru_cache
def find_modules() -> dict[str, str]:
    """Return the module of each application, read from the installed Keras."""
    found = importlib.util.find_spec("keras")
    if found is None or found.origin is None:
        raise ImportError("keras is not installed")
    text = (Path(found.origin).parent / "applications" / "__init__.py").read_text()
    prefix = "keras.src.applications."
    return {
        alias.name: node.module.removeprefix(prefix)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(prefix)
        for alias in node.names
    }


def list_applications() -> list[str]:
    """Return the names of the applications whose preprocessing is known."""
    return sorted(name for name, module in find_modules().items() if module in FAMILIES)


def get_family(application: str) -> ApplicationFamily:
    """Return what is known of an application."""
    family = FAMILIES[find_modules()[application]]
    return family._replace(preprocessing="centered") if application in _CENTERED else family
