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
HEAD_FILTERS = 1280
MOMENTUM = 0.9
"""Of the moving averages of batch norm; the authors' 0.997 needs long trainings."""


class Settings(ModelSettings):
    """The settings of MobileNetV2."""

    width_multiplier: Annotated[float, Field(gt=0)] = 1.0
    """Factor on the filters of all layers, which are then rounded to multiples of 8. Below 1, the
    last convolution still has 1,280.
    """
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

    from imgcls.models import _inverted_residual, _layers
    from imgcls.models._dropout import Dropout
    from imgcls.models._inverted_residual import round_filters

    size = images.shape[1:3]
    total_stride = settings.total_stride
    if total_stride is None:
        total_stride = 8 if min(size) <= _layers.MAX_SMALL_IMAGE else 32
        _layers.note_choice(
            "mobilenet", f"the total stride is {total_stride}", size, "total_stride"
        )
    _layers.require_size("mobilenet", size, total_stride, "set a smaller model.total_stride")
    strides, width = _list_strides(total_stride), settings.width_multiplier
    features = _layers.standardize(images, problem)
    features = _inverted_residual.convolve(
        features, round_filters(STEM_FILTERS, width), 3, strides[0], "stem", MOMENTUM
    )
    for number, (expansion, filters, blocks, _) in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            sizes = _inverted_residual.Block(
                expansion, round_filters(filters, width), 3, strides[number] if block == 1 else 1
            )
            name = f"stage_{number}_block_{block}"
            features = _inverted_residual.add_block(features, sizes, name, MOMENTUM)
    # As in the paper, a narrower network keeps the 1,280 filters of the last convolution.
    head_filters = round_filters(HEAD_FILTERS, max(width, 1.0))
    features = _inverted_residual.convolve(features, head_filters, 1, 1, "head", MOMENTUM)
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
