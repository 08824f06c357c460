"""ConvNeXt: a convolutional network in the manner of vision transformers. Light zone.

Liu et al., 2022, "A ConvNet for the 2020s". The default is timm's smallest, ConvNeXt-Atto; depths
of [3, 3, 9, 3] with widths of [96, 192, 384, 768] are the paper's ConvNeXt-T. The patches of the
stem follow the size of the images.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from imgcls.models import Count, Depth, ModelSettings, Problem

if TYPE_CHECKING:
    import keras

EXPANSION = 4
"""The channels between the last two convolutions of a block, as a multiple of its own."""
EPSILON = 1e-6
"""Of layer norm, as in the authors' code."""
TINY_IMAGE = 16
"""Height or width in pixels up to which each pixel is a patch."""


class Settings(ModelSettings):
    """The settings of a ConvNeXt."""

    depths: Annotated[list[Depth], Field(min_length=1)] = [2, 2, 6, 2]
    """Number of blocks of each stage."""
    widths: Annotated[list[Count], Field(min_length=1)] = [40, 80, 160, 320]
    """Channels of each stage. In mixed precision, multiples of 8 suit a GPU's tensor cores."""
    kernel_size: Literal[3, 5, 7] = 7
    """Height and width of the depthwise kernels, in pixels. cuDNN has gradients for these sizes
    that are the same each time; TensorFlow's own for others are not.
    """
    patch_size: Literal[1, 2, 4] | None = None
    """Height and width of the patches that the stem divides an image into, in pixels. Unless given,
    4 for images of more than 64 pixels on their short side, 2 for more than 16, else 1.
    """
    layer_scale: Annotated[float, Field(gt=0)] | None = 1e-6
    """Initial value of the learned factors of each block's channels; null for no factors."""
    stochastic_depth: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Rate at which the last block is dropped for an image in training; the rates of the blocks
    before it rise linearly from 0 (Huang et al., 2016). The paper has 0.1 for ConvNeXt-T.
    """

    @model_validator(mode="after")
    def _check_stages(self) -> "Settings":
        if len(self.depths) != len(self.widths):
            raise ValueError(
                f"depths has {len(self.depths)} entries, but widths {len(self.widths)}; each needs"
                " one entry per stage"
            )
        return self


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Build the network on symbolic images, and return its logits, (batch, classes).

    Raises:
        UserError: the images are smaller than the total stride.
    """
    import keras

    from imgcls.models import _layers

    size = images.shape[1:3]
    patch_size = settings.patch_size or _choose_patch_size(size)
    _layers.require_size(
        "convnext",
        size,
        patch_size * 2 ** (len(settings.depths) - 1),
        "set a smaller model.patch_size, or fewer model.depths and model.widths",
    )
    features = _layers.standardize(images, problem)
    features = _convolve(features, settings.widths[0], patch_size, "stem_convolution", patch_size)
    features = _normalize(features, "stem_layer_norm")
    total, number = sum(settings.depths), 0
    for stage, (blocks, width) in enumerate(zip(settings.depths, settings.widths, strict=True), 1):
        if stage > 1:
            features = _normalize(features, f"stage_{stage}_downsampling_layer_norm")
            features = _convolve(features, width, 2, f"stage_{stage}_downsampling_convolution", 2)
        for block in range(1, blocks + 1):
            rate = settings.stochastic_depth * number / max(total - 1, 1)
            dropout = rate, problem.dropout_seed + number
            features = _add_block(settings, features, dropout, f"stage_{stage}_block_{block}")
            number += 1
    features = keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    return _layers.make_logits(_normalize(features, "layer_norm"), problem)


def _choose_patch_size(size: tuple[int, int]) -> int:
    """Return the patch size that suits the images, with a note."""
    from imgcls.models import _layers

    limits = {TINY_IMAGE: 1, _layers.MAX_SMALL_IMAGE: 2}
    patch_size = next((patch for limit, patch in limits.items() if min(size) <= limit), 4)
    choice = f"the stem divides images into patches of {patch_size}x{patch_size}"
    _layers.note_choice("convnext", choice, size, "patch_size")
    return patch_size


def _convolve(
    features: "keras.KerasTensor", filters: int, kernel_size: int, name: str, strides: int = 1
) -> "keras.KerasTensor":
    """Add a convolution with bias."""
    import keras

    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        name=name,
    )(features)


def _normalize(features: "keras.KerasTensor", name: str) -> "keras.KerasTensor":
    """Add layer norm over the channels."""
    import keras

    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name)(features)


def _add_block(
    settings: Settings, features: "keras.KerasTensor", dropout: tuple[float, int], block: str
) -> "keras.KerasTensor":
    """Add a block, which is dropped for whole images at the rate of `dropout` (rate, seed)."""
    import keras

    from imgcls.models._dropout import Dropout
    from imgcls.models._layer_scale import LayerScale

    inputs, width = features, features.shape[-1]
    features = keras.layers.DepthwiseConv2D(
        settings.kernel_size,
        padding="same",
        depthwise_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
        name=f"{block}_depthwise_convolution",
    )(features)
    features = _normalize(features, f"{block}_layer_norm")
    features = _convolve(features, EXPANSION * width, 1, f"{block}_convolution_1")
    features = keras.layers.Activation("gelu", name=f"{block}_activation")(features)
    features = _convolve(features, width, 1, f"{block}_convolution_2")
    if settings.layer_scale is not None:
        features = LayerScale(settings.layer_scale, name=f"{block}_layer_scale")(features)
    rate, seed = dropout
    if rate > 0:
        name = f"{block}_stochastic_depth"
        features = Dropout(rate, seed, noise_shape=(None, 1, 1, 1), name=name)(features)
    return keras.layers.Add(name=f"{block}_add")([features, inputs])
