"""Wide ResNet: fewer and wider layers than ResNet, for small images. Light zone.

Zagoruyko and Komodakis, 2016, "Wide residual networks", table 1: WRN-16-4 has `depth: 16` and
`widen_factor: 4`. Batch norm and ReLU come before each convolution.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator

from imgcls.models import ModelSettings, Problem

if TYPE_CHECKING:
    import keras

STAGES = 3
STEM_FILTERS = 16


class Settings(ModelSettings):
    """The settings of a Wide ResNet."""

    depth: int = 16
    """Number of layers with weights, 6n + 4: such as 10, 16, 22, 28 or 40."""
    widen_factor: Annotated[int, Field(ge=1, le=1000)] = 4
    """The filters of the three stages are 16, 32 and 64 times this."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout rate between the two convolutions of a block; the paper has 0.3 for CIFAR
    and 0.4 for SVHN."""
    stem: Literal["3x3", "7x7"] | None = None
    """The first convolution: 3x3 with stride 1, or 7x7 with stride 2 and max pooling. Unless given,
    3x3 for images of up to 64 pixels on their short side, and 7x7 for larger ones. With
    `train.jit_compile`, say 3x3: XLA has no deterministic max pooling.
    """

    @field_validator("depth")
    @classmethod
    def _check_depth(cls, value: int) -> int:
        if value < 10 or value % 6 != 4:
            raise ValueError(f"is {value}, but must be 6n + 4, such as 10, 16, 22, 28 or 40")
        return value

    def get_layer_types(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` the model contains."""
        return {"batch norm"} if self.stem == "3x3" else {"batch norm", "max pooling"}


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Build the network on symbolic images, and return its logits, (batch, classes).

    Raises:
        UserError: the images are smaller than the total stride.
    """
    import keras

    from imgcls.models import _layers, _residual

    size = images.shape[1:3]
    stem = _layers.choose_stem("wide_resnet", settings.stem, size)
    total_stride = _residual.STEM_STRIDES[stem] * 2 ** (STAGES - 1)
    _layers.require_size("wide_resnet", size, total_stride, "set model.stem: 3x3")
    features = _residual.add_stem(_layers.standardize(images, problem), STEM_FILTERS, stem)
    features = _residual.add_stem_pooling(features, stem)
    blocks = (settings.depth - 4) // (2 * STAGES)
    for stage in range(1, STAGES + 1):
        for block in range(1, blocks + 1):
            number = (stage - 1) * blocks + block - 1
            features = _add_block(
                features,
                STEM_FILTERS * settings.widen_factor * 2 ** (stage - 1),
                2 if stage > 1 and block == 1 else 1,
                (settings.dropout, problem.dropout_seed + number),
                f"stage_{stage}_block_{block}",
            )
    features = _residual.normalize(features, "batch_norm")
    features = _residual.activate(features, "activation")
    features = keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    return _layers.make_logits(features, problem)


def _add_block(
    features: "keras.KerasTensor",
    filters: int,
    strides: int,
    dropout: tuple[float, int],
    block: str,
) -> "keras.KerasTensor":
    """Add two 3x3 convolutions, with dropout (rate, seed) between them, and the shortcut."""
    import keras

    from imgcls.models import _residual
    from imgcls.models._dropout import Dropout

    shortcut = features
    features = _residual.normalize(features, f"{block}_batch_norm_1")
    features = _residual.activate(features, f"{block}_activation_1")
    if shortcut.shape[-1] != filters:
        # From the activation, which the block shares then, as in the authors' code.
        shortcut = _residual.convolve(
            features, filters, 1, f"{block}_shortcut_convolution", strides
        )
    features = _residual.convolve(features, filters, 3, f"{block}_convolution_1", strides)
    features = _residual.normalize(features, f"{block}_batch_norm_2")
    features = _residual.activate(features, f"{block}_activation_2")
    rate, seed = dropout
    features = Dropout(rate, seed, name=f"{block}_dropout")(features)
    features = _residual.convolve(features, filters, 3, f"{block}_convolution_2")
    return keras.layers.Add(name=f"{block}_add")([features, shortcut])
