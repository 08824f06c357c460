"""Small presets that KerasHub itself writes, with random weights."""

from pathlib import Path
from typing import Any

import numpy

RESNET: dict[str, Any] = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 64],  # KerasHub demands 64 in the first place
    "stackwise_num_blocks": [1, 1],
    "stackwise_num_strides": [1, 2],
    "block_type": "basic_block",
}
CSPNET: dict[str, Any] = {
    "stem_filters": 8,
    "stem_kernel_size": 3,
    "stem_strides": 1,
    "stackwise_depth": [1, 1],
    "stackwise_strides": [2, 2],
    "stackwise_num_filters": [8, 16],
    "block_type": "dark_block",
    "stage_type": "dark",
}
BACKBONES: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet": ("ResNetBackbone", RESNET),
    "resnet_v2": (
        "ResNetBackbone",
        RESNET | {"block_type": "bottleneck_block", "use_pre_activation": True},
    ),
    "resnet_vd": (
        "ResNetBackbone",
        RESNET
        | {
            "input_conv_filters": [8, 8, 16],
            "input_conv_kernel_sizes": [3, 3, 3],
            "block_type": "bottleneck_block_vd",
        },
    ),
    "cspnet": ("CSPNetBackbone", CSPNET),
    "cspnet_with_pooling": (
        "CSPNetBackbone",
        CSPNET | {"stem_kernel_size": 7, "stem_strides": 4, "stem_pooling": "max"},
    ),
    "densenet": ("DenseNetBackbone", {"stackwise_num_repeats": [2, 1], "growth_rate": 8}),
    "efficientnet": (
        "EfficientNetBackbone",
        {
            "stackwise_width_coefficients": [1.0, 1.0],
            "stackwise_depth_coefficients": [1.0, 1.0],
            "stackwise_kernel_sizes": [3, 5],
            "stackwise_num_repeats": [1, 2],
            "stackwise_input_filters": [16, 16],
            "stackwise_output_filters": [16, 24],
            "stackwise_expansion_ratios": [1, 4],
            "stackwise_squeeze_and_excite_ratios": [0.25, 0.25],
            "stackwise_strides": [1, 2],
            "stackwise_block_types": ["v1", "v1"],
        },
    ),
    "vgg": ("VGGBackbone", {"stackwise_num_repeats": [1, 2], "stackwise_num_filters": [8, 16]}),
    "xception": (
        "XceptionBackbone",
        {
            "stackwise_conv_filters": [[8, 8], [8, 16], [16, 16]],
            "stackwise_pooling": [False, True, False],
        },
    ),
}
"""Classes and arguments of backbones of each family that imgcls builds, and of their variants."""
CONVERTER: dict[str, Any] = {
    "image_size": (40, 44),
    "scale": [0.017, 0.0175, 0.0174],
    "offset": [-2.1, -2.0, -1.8],
    "interpolation": "bicubic",
    "antialias": True,
}
"""Nearly that of ImageNet's mean and std."""


def make_backbone(kind: str = "resnet", **changes: Any) -> Any:
    """Return a small backbone, with values that are not those of a new one."""
    import keras_hub

    name, arguments = BACKBONES[kind]
    backbone = getattr(keras_hub.models, name)(**arguments | changes)
    generator = numpy.random.default_rng(0)
    for variable in backbone.weights:
        if "kernel" not in variable.path:
            is_factor = "variance" in variable.path or "gamma" in variable.path
            low, high = (0.5, 1.5) if is_factor else (-0.1, 0.1)
            variable.assign(generator.uniform(low, high, variable.shape))
    return backbone


def write_preset(folder: Path, kind: str = "resnet", **changes: Any) -> Any:
    """Save a backbone and its image converter to a folder; return the backbone."""
    import keras_hub

    backbone = make_backbone(kind, **changes)
    backbone.save_to_preset(str(folder))
    name = type(backbone).__name__.replace("Backbone", "ImageConverter")
    getattr(keras_hub.layers, name)(**CONVERTER).save_to_preset(str(folder))
    return backbone
