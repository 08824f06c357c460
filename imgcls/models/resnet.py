"""ResNet: residual networks of 8 layers and more, for small images and for photos. Light zone.

He et al., 2016, "Deep residual learning for image recognition". Depths of the form 6n + 2 (20, 32,
44, 56, 110) have the three stages of section 4.2 for CIFAR; 18, 34, 50, 101 and 152 have the four
stages of table 1 for ImageNet. 50 and 152 are of both forms; here, they are ImageNet's. Bottlenecks
have their stride in the 3x3 convolution, as in torchvision ("ResNet v1.5"): ResNet-50 has 4.1
instead of 3.8 billion multiply-adds.
"""

import itertools
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, field_validator, model_validator

from imgcls.models import Count, ModelSettings, Problem
from imgcls.parts import must_be

if TYPE_CHECKING:
    import keras

FOUR_STAGES = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""The blocks of each stage, by depth (table 1)."""
BOTTLENECK_DEPTH = 50
"""The depth from which ImageNet's networks consist of bottlenecks."""
EXPANSION = 4
"""The filters of a bottleneck's last convolution, as a multiple of its first."""


class Settings(ModelSettings):
    """The settings of a ResNet."""

    depth: Annotated[int, Field(le=1202)] = 20
    """Number of layers with weights: 6n + 2 such as 20, 32, 44, 56 or 110, with three stages; or
    18, 34, 50, 101 or 152, with four. 20 suits small images; 50 is the usual choice for photos.
    """
    width: Annotated[
        Count | list[Count] | None,
        must_be("the filters of the first stage, or a list with those of each stage"),
    ] = None
    """Filters of the first stage, which each further stage doubles, or a list with the filters of
    each stage; unless given, 16 with three stages, and 64 with four. In mixed precision, multiples
    of 8 suit a GPU's tensor cores, and multiples of 16 the bfloat16 instructions of a CPU.
    """
    shortcut: Literal["projection", "zero_padding"] = "projection"
    """What a shortcut is where sizes differ: a 1x1 convolution with batch norm (option B of the
    paper), or the pixels themselves with channels of zeros, without parameters (option A, in its
    experiments on CIFAR).
    """
    stem: Literal["3x3", "7x7"] | None = None
    """The first convolution: 3x3 with stride 1, or 7x7 with stride 2 and max pooling. Unless given,
    3x3 for images of up to 64 pixels on their short side, and 7x7 for larger ones. With
    `train.jit_compile`, say 3x3: XLA has no deterministic max pooling.
    """
    zero_init_residual: bool = True
    """Whether the last batch norm of each block begins with a gamma of 0 (Goyal et al., 2017,
    section 5.1). Each block is then the identity at first, which eases the first steps at a high
    learning rate.
    """

    @field_validator("depth")
    @classmethod
    def _check_depth(cls, value: int) -> int:
        if value not in FOUR_STAGES and (value < 8 or value % 6 != 2):
            raise ValueError(
                f"is {value}, but must be 6n + 2, such as 20, 32, 44, 56 or 110, or one of"
                f" {', '.join(map(str, FOUR_STAGES))}"
            )
        return value

    @model_validator(mode="after")
    def _check_width(self) -> "Settings":
        filters = self.filters
        if len(filters) != len(self.blocks):
            raise ValueError(
                f"width is {filters}, but depth {self.depth} has {len(self.blocks)} stages; give a"
                " number for each stage, or one number"
            )
        if self.shortcut == "zero_padding" and any(
            wide % narrow for narrow, wide in itertools.pairwise(filters)
        ):
            raise ValueError(
                f"width is {filters}, but shortcut zero_padding needs multiples of the stage"
                " before; set shortcut: projection, or other widths"
            )
        return self

    def get_layer_types(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` the model contains."""
        return {"batch norm"} if self.stem == "3x3" else {"batch norm", "max pooling"}

    @property
    def blocks(self) -> tuple[int, ...]:
        """The number of blocks of each stage."""
        return FOUR_STAGES.get(self.depth, ((self.depth - 2) // 6,) * 3)

    @property
    def filters(self) -> list[int]:
        """The filters of each stage, of a bottleneck's first convolution."""
        if isinstance(self.width, list):
            return self.width
        first = self.width or (16 if len(self.blocks) == 3 else 64)
        return [first * 2**stage for stage in range(len(self.blocks))]


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Build the ResNet on symbolic images, and return its logits, (batch, classes).

    Raises:
        UserError: the images are smaller than the total stride.
    """
    import keras

    from imgcls.models import _layers, _residual

    size = images.shape[1:3]
    stem = _layers.choose_stem("resnet", settings.stem, size)
    _layers.require_size(
        "resnet",
        size,
        _residual.STEM_STRIDES[stem] * 2 ** (len(settings.blocks) - 1),
        "set model.stem: 3x3, or a model.depth with three stages, such as 20",
    )
    features = _layers.standardize(images, problem)
    features = _residual.add_stem(features, settings.filters[0], stem)
    features = _residual.normalize(features, "stem_batch_norm")
    features = _residual.activate(features, "stem_activation")
    features = _residual.add_stem_pooling(features, stem)
    for stage, (blocks, filters) in enumerate(
        zip(settings.blocks, settings.filters, strict=True), 1
    ):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            name = f"stage_{stage}_block_{block}"
            features = _add_block(settings, features, filters, strides, name)
    features = keras.layers.GlobalAveragePooling2D(name="pooling")(features)
    return _layers.make_logits(features, problem)


def _add_block(
    settings: Settings, features: "keras.KerasTensor", filters: int, strides: int, block: str
) -> "keras.KerasTensor":
    """Add a block: two 3x3 convolutions, or a bottleneck of 1x1, 3x3 and 1x1; and the shortcut."""
    import keras

    from imgcls.models import _residual

    convolutions = [(filters, 3, strides), (filters, 3, 1)]
    if settings.depth in FOUR_STAGES and settings.depth >= BOTTLENECK_DEPTH:
        convolutions = [(filters, 1, 1), (filters, 3, strides), (EXPANSION * filters, 1, 1)]
    shortcut = _add_shortcut(settings, features, convolutions[-1][0], strides, block)
    last = len(convolutions)
    for number, (width, kernel_size, stride) in enumerate(convolutions, 1):
        features = _residual.convolve(
            features, width, kernel_size, f"{block}_convolution_{number}", stride
        )
        gamma = "zeros" if number == last and settings.zero_init_residual else "ones"
        features = _residual.normalize(features, f"{block}_batch_norm_{number}", gamma)
        if number < last:
            features = _residual.activate(features, f"{block}_activation_{number}")
    features = keras.layers.Add(name=f"{block}_add")([features, shortcut])
    return _residual.activate(features, f"{block}_activation_{last}")


def _add_shortcut(
    settings: Settings, features: "keras.KerasTensor", filters: int, strides: int, block: str
) -> "keras.KerasTensor":
    """Return the features in the shape of the block's outputs."""
    from imgcls.models import _residual

    if features.shape[-1] == filters and strides == 1:
        return features
    if settings.shortcut == "zero_padding":
        return _residual.pad_channels(features, filters, strides, block)
    features = _residual.convolve(features, filters, 1, f"{block}_shortcut_convolution", strides)
    return _residual.normalize(features, f"{block}_shortcut_batch_norm")
