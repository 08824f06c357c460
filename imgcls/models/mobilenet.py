"""MobileNetV2: few multiply-adds, by depthwise convolutions in inverted residuals. Light zone.

Sandler et al., 2018, "MobileNetV2: inverted residuals and linear bottlenecks", table 2. Small
images have fewer strides: with the paper's total stride of 32, one of 32x32 would be one pixel.
"""

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.models import ModelSettings, Problem

if TYPE_CHECKING:
    import keras

STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Of each stage, the expansion, filters, number of blocks, and stride of the first (table 2)."""
STEM_FILTERS = 32
LAST_FILTERS = 1280
MOMENTUM = 0.9
"""Of the moving averages of batch norm; the authors' 0.997 needs long trainings."""


class Settings(ModelSettings):
    """The settings of MobileNetV2."""

    width_multiplier: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the filters of all layers, which are then rounded to multiples of 8."""
    total_stride: Literal[4, 8, 16, 32] | None = None
    """Height and width of the images divided by those of the last features; below 32, the first
    strides are left out. Unless given, 8 for images of up to 64 pixels on their short side, and 32
    for larger ones.
    """
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout rate before the last layer."""

    def get_layer_types(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` the model contains."""
        return {"batch norm"}


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Build the network on symbolic images, and return its logits, (batch, classes).

    Raises:
        UserError: the images are smaller than the total stride.
    """
    import keras

    from imgcls.models import _layers
    from imgcls.models._dropout import Dropout

    size = images.shape[1:3]
    total_stride = settings.total_stride
    if total_stride is None:
        total_stride = 8 if min(size) <= _layers.MAX_SMALL_IMAGE else 32
        _layers.note_choice(
            "mobilenet", f"the total stride is {total_stride}", size, "total_stride"
        )
    _layers.require_size("mobilenet", size, total_stride, "set a smaller model.total_stride")
    strides = _list_strides(total_stride)
    features = _layers.standardize(images, problem)
    features = _convolve(features, _scale(settings, STEM_FILTERS), 3, strides[0], "stem")
    for number, (expansion, filters, blocks, _) in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            features = _add_block(
                features,
                expansion,
                _scale(settings, filters),
                strides[number] if block == 1 else 1,
                f"stage_{number}_block_{block}",
            )
    last = max(LAST_FILTERS, _scale(settings, LAST_FILTERS))
    features = _convolve(features, last, 1, 1, "last")
    features = keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    features = Dropout(settings.dropout, problem.dropout_seed, name="dropout")(features)
    return _layers.make_logits(features, problem)


def _list_strides(total_stride: int) -> list[int]:
    """Return the stride of the stem and of each stage; the first of the paper's become 1."""
    strides = [2, *[stride for *_, stride in STAGES]]
    halving = [index for index, stride in enumerate(strides) if stride == 2]
    for index in halving[: len(halving) - int(math.log2(total_stride))]:
        strides[index] = 1
    return strides


def _scale(settings: Settings, filters: int) -> int:
    """Return the filters times the width multiplier, rounded to a multiple of 8, but at most 10 %
    down, as in the authors' code.
    """
    wanted = filters * settings.width_multiplier
    rounded = max(8, int(wanted + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * wanted else rounded


def _convolve(
    features: "keras.KerasTensor", filters: int, kernel_size: int, strides: int, prefix: str
) -> "keras.KerasTensor":
    """Add a convolution, batch norm and ReLU6."""
    from imgcls.models import _residual

    features = _residual.convolve(features, filters, kernel_size, f"{prefix}_convolution", strides)
    return _normalize(features, f"{prefix}_batch_norm", f"{prefix}_activation")


def _normalize(
    features: "keras.KerasTensor", name: str, activation: str | None = None
) -> "keras.KerasTensor":
    """Add batch norm, and ReLU6 if it has a name."""
    import keras

    from imgcls.models._batch_norm import BatchNorm

    features = BatchNorm(name, MOMENTUM)(features)
    return keras.layers.ReLU(6.0, name=activation)(features) if activation else features


def _add_block(
    features: "keras.KerasTensor", expansion: int, filters: int, strides: int, block: str
) -> "keras.KerasTensor":
    """Add an inverted residual: a 1x1 convolution to more channels, unless the expansion is 1; a
    depthwise one of 3x3; and a 1x1 convolution without activation.
    """
    import keras

    from imgcls.models import _residual

    inputs = features
    if expansion > 1:
        features = _convolve(features, expansion * inputs.shape[-1], 1, 1, f"{block}_expansion")
    features = keras.layers.DepthwiseConv2D(
        3,
        strides=strides,
        padding="same",
        use_bias=False,
        # Keras's initializers count all channels as inputs, of which each filter has one.
        depthwise_initializer=keras.initializers.TruncatedNormal(stddev=math.sqrt(2 / 9)),
        name=f"{block}_depthwise_convolution",
    )(features)
    features = _normalize(
        features, f"{block}_depthwise_batch_norm", f"{block}_depthwise_activation"
    )
    features = _residual.convolve(features, filters, 1, f"{block}_projection_convolution")
    features = _normalize(features, f"{block}_projection_batch_norm")
    if strides > 1 or inputs.shape[-1] != filters:
        return features
    return keras.layers.Add(name=f"{block}_add")([features, inputs])
