"""Models: each file holds `Settings` and `build(settings, images, problem)`. Light zone.

`Settings` derives from `ModelSettings`. `images` is a symbolic Keras tensor, uint8 (batch, height,
width, channels); `build` returns the logits, a symbolic tensor (batch, classes). The first layers
of a model do its preprocessing, so that training, evaluation and the exported file cannot differ
in it. Keras is imported inside `build`. For dropout, use `_dropout.Dropout`, which a GPU does not
have to wait for.

A model whose `Settings.has_imagenet_weights` is true has a second function,
`load_imagenet(settings)`, which returns the `Weights` of imgcls/transfer/weights.py, by the names
of the model's layers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from imgcls import parts
from imgcls.parts import PartSettings

HEAD = "logits"
"""The name of the last dense layer of every model."""
Count = Annotated[int, Field(ge=1, le=1_000_000)]
"""A number of filters or units; a layer with more fits no memory."""
Depth = Annotated[int, Field(ge=1, le=200)]
"""A number of blocks."""
KernelSize = Annotated[int, Field(ge=1, le=255)]
"""Height and width of a kernel, in pixels. With 4,000, the process was aborted by SIGABRT."""
MAX_LAYERS = 200
"""Layers that a list of their widths can name; with 1,501, training crashed."""
IMAGENET = "imagenet"
"""The value of `weights` for those that were trained on ImageNet."""


class ModelSettings(PartSettings):
    """The settings that all models share."""

    has_imagenet_weights: ClassVar[bool] = False
    """Whether `weights` may be `imagenet`."""
    sums_channels: ClassVar[bool] = False
    """Whether its preprocessing is the same for all channels, so that with the sums of its first
    kernels, a grayscale image gives what it does as a color image."""

    weights: str | None = None
    """Weights to start from: a file of Keras (.weights.h5, .keras, legacy .h5), the folder of a
    run, or `imagenet`, if the model has it. Random unless given."""

    @field_validator("weights")
    @classmethod
    def _check_weights(cls, value: str | None) -> str | None:
        if value == IMAGENET and not cls.has_imagenet_weights:
            names = [
                name
                for name in parts.list_names("models")
                if parts.load("models", name).Settings.has_imagenet_weights
            ]
            raise ValueError(
                f"is {IMAGENET}, but this model has no such weights; give a file or the folder of a"
                f" run, or take model: {' or '.join(names)}"
            )
        return value

    def find_imagenet(self) -> Path | None:
        """Return the file of the ImageNet weights; None if Keras will download it.

        Raises:
            UserError: it is not installed.
        """
        return None

    def get_layer_types(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` the model contains, for images of some
        size: the settings are checked before that is known.

        XLA cannot always compile them, and batch norm normalizes each micro-batch separately. Layer
        norm needs no mention: it normalizes each image by itself, with operations that XLA has.
        """
        return set()


@dataclass(frozen=True)
class Problem:
    """The classification problem that a model is built for.

    Attributes:
        classes: number of classes.
        mean, std: of the training pixels, per channel, in 0..255.
        dropout_seed: seed of the first dropout layer; further layers add 1, 2, ...; with the
            same seed, they would drop the same units.
    """

    classes: int
    mean: list[float]
    std: list[float]
    dropout_seed: int
