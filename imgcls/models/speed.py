"""A network for fast training on small images: few multiply-adds, high accuracy early. Light zone.

After Keller Jordan's airbench (https://github.com/KellerJordan/cifar10-airbench; Jordan, 2024,
"94% on CIFAR-10 in 3.29 seconds on a single A100"): a convolution for the stem, then convolutions
with max pooling between them, each before batch norm with quick moving averages, and a global
pooling. Here, the stem has a stride, so that nothing is computed at full size.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from imgcls.models import Count, KernelSize, ModelSettings, Problem

if TYPE_CHECKING:
    import keras


class Settings(ModelSettings):
    """The settings of the fast network."""

    filters: Annotated[list[Count], Field(min_length=1)] = [16, 32, 64, 128]
    """Filters of the stem, and of each further convolution. Between two of the further ones, max
    pooling halves the size. In mixed precision, multiples of 8 suit a GPU's tensor cores, and
    multiples of 16 the bfloat16 instructions of a CPU (AVX512-BF16), on which a step with 24
    filters in the stem took longer than one with 16.
    """
    stem_kernel_size: KernelSize = 4
    """Height and width of the stem's kernel, in pixels."""
    stem_stride: Count = 2
    """Stride of the stem; 2 takes a quarter of the time of 1."""
    activation: Literal["relu", "gelu", "silu"] = "relu"
    """The activation after each batch norm. airbench has gelu, which takes longer on a CPU."""
    global_pooling: Literal["max", "average"] = "max"
    """What the last features are pooled with over all pixels."""
    batch_norm_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.8
    """Momentum of batch norm's moving averages. Keras's 0.99 would average over more steps than a
    short training takes with its last, low learning rates.
    """

    def get_layer_types(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` the model contains."""
        return {"batch norm", "max pooling"} if len(self.filters) > 2 else {"batch norm"}


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Build the network on symbolic images, and return its logits, (batch, classes).

    Raises:
        UserError: the images are too small for the stride and the max pooling.
    """
    import keras

    from imgcls.models import _layers, _residual
    from imgcls.models._batch_norm import MIN_EPSILON, BatchNorm

    last = len(settings.filters) - 1
    _layers.require_size(
        "speed",
        images.shape[1:3],
        settings.stem_stride * 2 ** max(last - 1, 0),
        "set model.stem_stride: 1, or fewer model.filters",
    )
    features = _layers.standardize(images, problem)
    for index, filters in enumerate(settings.filters):
        prefix = f"stage_{index}" if index else "stem"
        kernel_size, strides = (
            (3, 1) if index else (settings.stem_kernel_size, settings.stem_stride)
        )
        features = _residual.convolve(
            features, filters, kernel_size, f"{prefix}_convolution", strides
        )
        if 0 < index < last:
            # Before batch norm and activation, which then see a quarter of the pixels.
            features = keras.layers.MaxPooling2D(2, name=f"{prefix}_pooling")(features)
        features = BatchNorm(f"{prefix}_batch_norm", settings.batch_norm_momentum, MIN_EPSILON)(
            features
        )
        features = keras.layers.Activation(settings.activation, name=f"{prefix}_activation")(
            features
        )
    pooling = {
        "max": keras.layers.GlobalMaxPooling2D,
        "average": keras.layers.GlobalAveragePooling2D,
    }[settings.global_pooling]
    return _layers.make_logits(pooling(name="pooling")(features), problem)
