"""Compressors: each file holds `Settings` (a `CompressorSettings`) and one function.

`compress(settings, context)` takes the network of `context.model`, from uint8 images (batch,
height, width, channels) to logits (batch, classes), and returns a `Compressed` one with the same
inputs and outputs. `convert(settings, context, target)`, of a method that must be the last,
writes a LiteRT file of the whole model, with probabilities out, and returns what it did, for
compression.json. `context` is that of imgcls/compression/context.py.

Everything that a method chooses, it chooses on the validation split. TensorFlow and Keras are
imported inside functions. Files whose names begin with an underscore are shared code, not
compressors. Light zone.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import keras

    from imgcls.run import Run


class CompressorSettings(PartSettings):
    """The settings of every compressor."""

    changes_predictions: ClassVar[bool] = True
    """Whether the network predicts something else, so that its temperature is fitted again."""
    is_last: ClassVar[bool] = False
    """Whether it has `convert`, so that no other method can follow."""

    def require_packages(self) -> None:
        """Check that the packages are installed that the method needs; it needs none unless it
        says so.

        Raises:
            UserError: one is not.
        """


@dataclass(frozen=True)
class Compressed:
    """What a method makes of a network.

    Attributes:
        model: from uint8 images (batch, height, width, channels) to logits (batch, classes), of
            layers that Keras loads without imgcls.
        details: what was done, in values that JSON has, for compression.json.
        trained: the run that trained it last, as `context.fine_tune` returns it; None if nothing
            was trained.
    """

    model: "keras.Model"
    details: dict[str, Any] = field(default_factory=dict)
    trained: "Run | None" = None
