"""A plain CNN: convolution blocks, dense layers, dropout, softmax.

A block is a convolution, an activation and max pooling (LeCun et al., 1998, "Gradient-based
learning applied to document recognition"; ReLU and dropout as in Krizhevsky et al., 2012). Light
zone: keras is imported inside the functions.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from imgcls.errors import UserError
from imgcls.io import terminal
from imgcls.models import HEAD, MAX_LAYERS, Count, KernelSize, ModelSettings, Problem
from imgcls.short_forms import OneMeans

if TYPE_CHECKING:
    import keras

MONOTONIC = ("relu", "leaky_relu", "elu", "tanh", "sigmoid")
"""Activations that never decrease, so that they commute with max pooling; gelu and silu do not."""

DOMINANT_FRACTION = 0.95
"""Fraction of all parameters above which one dense layer gets a note."""


class Settings(ModelSettings):
    """The CNN's settings."""

    filters: Annotated[list[Count], Field(min_length=1, max_length=MAX_LAYERS), OneMeans()] = [
        32,
        64,
    ]
    """Filters of each block; the length of the list is the number of blocks. In mixed precision,
    multiples of 8 suit a GPU's tensor cores; `dense` likewise.
    """
    kernel_sizes: Annotated[list[KernelSize], Field(min_length=1), OneMeans()] = [3]
    """Height and width of the kernels, in pixels: one number for all blocks, or one per block."""
    pooling: Annotated[int, Field(ge=1, le=1024)] = 2
    """Pool size and stride of the max pooling that ends each block; 1 for none."""
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"] = "relu"
    """The activation after each convolution and dense layer."""
    batch_norm: bool = False
    """Whether batch norm follows each convolution (Ioffe and Szegedy, 2015)."""
    dense: Annotated[list[Count], Field(max_length=MAX_LAYERS), OneMeans()] = [128, 128]
    """Units of each dense layer between flattening and logits; the list may be empty."""
    share_dense: bool = False
    """Whether all these dense layers share the weights of the first; each must then have as many
    units as there are flattened features.
    """
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout rate before the last dense layer, that of the logits (Srivastava et al., 2014)."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """L2 penalty on the kernels."""

    def get_layer_types(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` the model contains."""
        return {
            name
            for name, present in (
                ("max pooling", self.pooling > 1),
                ("batch norm", self.batch_norm),
            )
            if present
        }

    @model_validator(mode="after")
    def _check_kernel_sizes(self) -> "Settings":
        if len(self.kernel_sizes) not in (1, len(self.filters)):
            raise ValueError(
                f"kernel_sizes has {len(self.kernel_sizes)} entries for {len(self.filters)} blocks"
                " (filters); give one entry for all blocks, or one per block"
            )
        return self

    @model_validator(mode="after")
    def _check_shared_dense(self) -> "Settings":
        if self.share_dense and (len(self.dense) < 2 or len(set(self.dense)) > 1):
            raise ValueError(
                "share_dense needs two or more dense layers with the same number of units; got"
                f" dense: {self.dense}"
            )
        return self


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Build the CNN on symbolic images, and return its logits, (batch, classes).

    Raises:
        UserError: the images are too small for the pooling, or `share_dense` is set but the dense
            layers do not have as many units as there are flattened features.
    """
    import keras

    from imgcls.models import _layers
    from imgcls.models._dropout import Dropout

    features = _layers.standardize(images, problem)
    size = images.shape[1:3]
    total_stride = settings.pooling ** len(settings.filters)
    _layers.require_size("cnn", size, total_stride, "set fewer model.filters, or model.pooling: 1")
    advice = "set a smaller first entry of model.kernel_sizes, or less model.pooling"
    _layers.note_large_stem("cnn", size, settings.kernel_sizes[0], settings.pooling, advice)
    for block in range(len(settings.filters)):
        features = _add_block(settings, features, block)
    features = keras.layers.Flatten(name="flatten")(features)
    flat_features = features.shape[-1]
    features = _add_dense_layers(settings, features)
    features = Dropout(settings.dropout, problem.dropout_seed, name="dropout")(features)
    logits = _layers.make_logits(features, problem)
    _note_dominant_dense_layer(keras.Model(images, logits), flat_features)
    return logits


def _add_block(
    settings: Settings, features: "keras.KerasTensor", block: int
) -> "keras.KerasTensor":
    import keras

    from imgcls.models import _batch_norm, _layers

    number = block + 1
    # A monotonic activation commutes with max pooling; pooling first leaves it fewer pixels.
    pools_first = settings.pooling > 1 and settings.activation in MONOTONIC
    defers_bias = pools_first and not settings.batch_norm
    convolution = (_layers.DeferredBiasConv2D if defers_bias else keras.layers.Conv2D)(
        settings.filters[block],
        settings.kernel_sizes[block % len(settings.kernel_sizes)],
        padding="same",
        use_bias=not settings.batch_norm,
        kernel_initializer="he_normal",
        kernel_regularizer=keras.regularizers.L2(settings.l2) if settings.l2 else None,
        name=f"convolution_{number}",
    )
    features = convolution(features)
    if settings.batch_norm:
        features = _batch_norm.BatchNorm(f"batch_norm_{number}")(features)
    activation = keras.layers.Activation(settings.activation, name=f"activation_{number}")
    if settings.pooling == 1:
        return activation(features)
    pooling_settings = {"pool_size": settings.pooling, "name": f"pooling_{number}"}
    if defers_bias:
        return activation(_layers.BiasedMaxPooling2D(convolution, **pooling_settings)(features))
    pooling = keras.layers.MaxPooling2D(**pooling_settings)
    return activation(pooling(features)) if pools_first else pooling(activation(features))


def _add_dense_layers(settings: Settings, features: "keras.KerasTensor") -> "keras.KerasTensor":
    import keras

    def make_dense(number: int) -> keras.layers.Dense:
        return keras.layers.Dense(
            settings.dense[number - 1],
            activation=settings.activation,
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.L2(settings.l2) if settings.l2 else None,
            name=f"dense_{number}",
        )

    if not settings.share_dense:
        for number in range(1, len(settings.dense) + 1):
            features = make_dense(number)(features)
        return features
    flat_features = features.shape[-1]
    if settings.dense[0] != flat_features:
        raise UserError(
            "model.share_dense needs as many units in each dense layer as there are flattened"
            f" features, {flat_features}; got dense: {settings.dense}. Set dense:"
            f" {[flat_features] * len(settings.dense)}, or change filters or pooling to match"
        )
    shared = make_dense(1)
    for _ in settings.dense:
        features = shared(features)
    return features


def _note_dominant_dense_layer(model: "keras.Model", flat_features: int) -> None:
    """Print a note if one dense layer has nearly all parameters: such a model overfits easily."""
    total = model.count_params()
    largest = max(layer.count_params() for layer in model.layers if layer.name in ("dense_1", HEAD))
    if largest > DOMINANT_FRACTION * total and largest > 100_000:
        terminal.note(
            f"model cnn: one dense layer has {largest:,} of {total:,} parameters, since"
            f" {flat_features} features are flattened; another block or more pooling makes the"
            " model smaller and often better"
        )
