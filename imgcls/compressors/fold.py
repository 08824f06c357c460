"""Folds batch norm into the convolution, depthwise convolution or dense layer before it.

At inference, batch norm multiplies each channel by a constant and adds another one, which the layer
before can do by its own weights (Jacob et al., 2018, section 3.2). The predictions stay the same,
up to the rounding of float32. Light zone.
"""

from typing import TYPE_CHECKING, ClassVar

from imgcls.compressors import Compressed, CompressorSettings

if TYPE_CHECKING:
    from imgcls.compression.context import Context


class Settings(CompressorSettings):
    """The settings of folding; there are none."""

    changes_predictions: ClassVar[bool] = False


def compress(settings: Settings, context: "Context") -> Compressed:
    """Return the network without the layers of batch norm that can be folded."""
    from imgcls.compression.folding import fold_batch_norm

    model, folded, left = fold_batch_norm(context.model)
    return Compressed(model, {"folded": len(folded), "left": len(left), "reasons": left})
