"""The network for fast training: its parameters, layers and settings."""

import pytest
import small_models

from imgcls import parts
from imgcls.errors import UserError

SPEED = parts.load("models", "speed")


def build(shape=(28, 28, 1), **settings):
    return small_models.build(SPEED.Settings(name="speed", **settings), shape)


def test_the_default_has_under_100_thousand_parameters():
    """Kernels of the convolutions, gamma and beta of their batch norms, and the last layer."""
    kernels = 16 * 16 + 9 * (16 * 32 + 32 * 64 + 64 * 128)
    expected = kernels + 2 * (16 + 32 + 64 + 128) + 128 * 10 + 10
    assert small_models.count_parameters(build()) == expected == 98_794


def test_the_default_computes_nothing_at_full_size_and_pools_before_batch_norm():
    layers = [(layer.name, layer.output.shape[1:]) for layer in build().layers[2:]]
    assert layers == [
        ("stem_convolution", (14, 14, 16)),
        ("stem_batch_norm", (14, 14, 16)),
        ("stem_activation", (14, 14, 16)),
        ("stage_1_convolution", (14, 14, 32)),
        ("stage_1_pooling", (7, 7, 32)),
        ("stage_1_batch_norm", (7, 7, 32)),
        ("stage_1_activation", (7, 7, 32)),
        ("stage_2_convolution", (7, 7, 64)),
        ("stage_2_pooling", (3, 3, 64)),
        ("stage_2_batch_norm", (3, 3, 64)),
        ("stage_2_activation", (3, 3, 64)),
        ("stage_3_convolution", (3, 3, 128)),
        ("stage_3_batch_norm", (3, 3, 128)),
        ("stage_3_activation", (3, 3, 128)),
        ("pooling", (128,)),
        ("logits", (10,)),
    ]


def test_the_settings_reach_the_layers():
    from imgcls.backend import keras

    model = build(
        filters=[16],
        stem_kernel_size=5,
        stem_stride=1,
        activation="gelu",
        global_pooling="average",
        batch_norm_momentum=0.6,
    )
    stem = model.get_layer("stem_convolution")
    assert (stem.filters, stem.kernel_size, stem.strides) == (16, (5, 5), (1, 1))
    assert model.get_layer("stem_activation").activation is keras.activations.gelu
    assert model.get_layer("stem_batch_norm").momentum == 0.6
    assert isinstance(model.get_layer("pooling"), keras.layers.GlobalAveragePooling2D)
    assert isinstance(build().get_layer("pooling"), keras.layers.GlobalMaxPooling2D)


def test_images_too_small_for_the_pooling_are_refused():
    with pytest.raises(UserError, match="images of 7x9 pixels are too small for a total stride"):
        build((7, 9, 3))


@pytest.mark.parametrize("filters", [[8], [8, 8], [8, 8, 8]])
def test_max_pooling_is_between_the_convolutions_after_the_stem(filters):
    settings = SPEED.Settings(name="speed", filters=filters)
    pools = [layer.name for layer in build(filters=filters).layers if "_pooling" in layer.name]
    assert pools == [f"stage_{number}_pooling" for number in range(1, len(filters) - 1)]
    assert ("max pooling" in settings.get_layer_types()) == bool(pools)
