"""The five-part network: convolution blocks, a first and a second dense layer, dropout, softmax.

A block is convolution, nonlinearity and max pooling (LeCun et al., 1998, "Gradient-based learning
applied to document recognition"; ReLU and dropout as in Krizhevsky et al., 2012). Light zone: keras
is imported inside the functions.
"""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from imgcls.errors import UserError
from imgcls.io import terminal
from imgcls.models import ModelSettings, Problem

if TYPE_CHECKING:
    import keras

Count = Annotated[int, Field(ge=1)]

MONOTONIC = ("relu", "leaky_relu", "elu", "tanh", "sigmoid")
"""Nonlinearities that may change places with a maximum; gelu and silu dip below 0."""

DOMINANT_FRACTION = 0.95
"""From which share of the parameters on a dense head is worth a note."""


class Settings(ModelSettings):
    """The network's settings."""

    filters: Annotated[list[Count], Field(min_length=1)] = [32, 64]
    """Filters of each block; its length is the number of blocks."""
    kernel_sizes: Annotated[list[Count], Field(min_length=1)] = [3]
    """Side of each block's square kernels in pixels; one for all, or one for each block."""
    pooling: Annotated[int, Field(ge=1)] = 2
    """Side and stride of the max pooling that ends each block; 1 for none."""
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid"] = "relu"
    """The nonlinearity after each convolution and dense layer."""
    batch_norm: bool = False
    """Whether each convolution is batch-normalized before its nonlinearity (Ioffe and Szegedy,
    2015).
    """
    dense: list[Count] = [128, 128]
    """Units of each dense layer between the flattening and the logits; any number of them."""
    share_dense: bool = False
    """Whether the later dense layers apply the first one's weights again; all widths must then be
    equal, the flattened one included.
    """
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the last dense layer's outputs that training sets to 0 (Srivastava et al., 2014)."""
    l2: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the squared kernels in the loss."""

    def uses(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` it has."""
        return {
            name
            for name, present in (
                ("max pooling", self.pooling > 1),
                ("batch norm", self.batch_norm),
            )
            if present
        }

    @model_validator(mode="after")
    def _one_kernel_size_a_block(self) -> "Settings":
        if len(self.kernel_sizes) not in (1, len(self.filters)):
            raise ValueError(
                f"kernel_sizes has {len(self.kernel_sizes)} entries for {len(self.filters)} blocks"
                " (filters); give one for all, or one for each"
            )
        return self

    @model_validator(mode="after")
    def _shared_widths(self) -> "Settings":
        if self.share_dense and (len(self.dense) < 2 or len(set(self.dense)) > 1):
            raise ValueError(
                f"share_dense needs two or more dense layers of one width; got dense: {self.dense}"
            )
        return self


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Return the logits.

    Raises:
        UserError: the images are too small for the pooling, or `share_dense` meets unequal widths.
    """
    import keras

    from imgcls.models import _layers

    features = _layers.standardize(images, problem)
    _check_pooling(settings, images.shape[1:3])
    _layers.note_large_stem("cnn", images.shape[1:3], settings.kernel_sizes[0], settings.pooling)
    for block in range(len(settings.filters)):
        features = _add_block(settings, features, block)
    features = keras.layers.Flatten(name="flatten")(features)
    flat = features.shape[-1]
    features = _add_dense_layers(settings, features)
    features = keras.layers.Dropout(settings.dropout, seed=problem.dropout_seed, name="dropout")(
        features
    )
    logits = _layers.make_logits(features, problem)
    _note_dominant_head(keras.Model(images, logits), flat)
    return logits


def _add_block(
    settings: Settings, features: "keras.KerasTensor", block: int
) -> "keras.KerasTensor":
    import keras

    from imgcls.models import _layers

    number = block + 1
    # The maximum commutes with a function that never falls: the same numbers, from a quarter of the
    # pixels.
    pools_first = settings.pooling > 1 and settings.activation in MONOTONIC
    late_bias = pools_first and not settings.batch_norm
    convolution = (_layers.ConvolutionBeforePooling if late_bias else keras.layers.Conv2D)(
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
        features = _layers.make_batch_norm(f"batch_norm_{number}")(features)
    activation = keras.layers.Activation(settings.activation, name=f"activation_{number}")
    if settings.pooling == 1:
        return activation(features)
    pooling_settings = {"pool_size": settings.pooling, "name": f"pooling_{number}"}
    if late_bias:
        return activation(_layers.PoolingWithBias(convolution, **pooling_settings)(features))
    pooling = keras.layers.MaxPooling2D(**pooling_settings)
    return activation(pooling(features)) if pools_first else pooling(activation(features))


def _add_dense_layers(settings: Settings, features: "keras.KerasTensor") -> "keras.KerasTensor":
    import keras

    def layer(number: int) -> keras.layers.Dense:
        return keras.layers.Dense(
            settings.dense[number - 1],
            activation=settings.activation,
            kernel_initializer="he_normal",
            kernel_regularizer=keras.regularizers.L2(settings.l2) if settings.l2 else None,
            name=f"dense_{number}",
        )

    if not settings.share_dense:
        for number in range(1, len(settings.dense) + 1):
            features = layer(number)(features)
        return features
    flat = features.shape[-1]
    if settings.dense[0] != flat:
        raise UserError(
            f"model.share_dense applies one matrix to the {flat} flattened features and again to"
            f" its own outputs, so every width must be {flat}; got dense: {settings.dense}. Set"
            f" dense: {[flat] * len(settings.dense)}, or change filters and pooling until it fits"
        )
    shared = layer(1)
    for _ in settings.dense:
        features = shared(features)
    return features


def _check_pooling(settings: Settings, size: tuple[int, int]) -> None:
    """Refuse a pooling that would leave no pixel."""
    shrink = settings.pooling ** len(settings.filters)
    if min(size) < shrink:
        raise UserError(
            f"model.cnn: images of {size[0]}x{size[1]} pixels are too small for"
            f" {len(settings.filters)} blocks with pooling {settings.pooling}, which need at least"
            f" {shrink}x{shrink}; use fewer filters entries, or pooling: 1"
        )


def _note_dominant_head(model: "keras.Model", flat: int) -> None:
    """Say so when nearly all parameters sit in the first dense layer: it memorizes more than it
    sees.
    """
    total = model.count_params()
    first = max(
        layer.count_params() for layer in model.layers if layer.name in ("dense_1", "logits")
    )
    if first > DOMINANT_FRACTION * total and first > 100_000:
        terminal.note(
            f"model.cnn: one dense layer holds {first:,} of {total:,} parameters, with {flat}"
            " flattened features before the head; another block or more pooling before it makes"
            " the model smaller and often better"
        )
