"""The loss on attention maps is that of the formula, on the feature maps at the ends of stages."""

import numpy
import small_models

from imgcls.backend import keras, tf
from imgcls.training import attention
from imgcls.training.resized_model import share_layers

SIZE = (16, 16, 3)


def compute_maps(features):
    """Return the mean of the squared channels, with a norm of 1, by the formula."""
    energy = (features**2).mean(axis=-1)
    return energy / numpy.sqrt((energy**2).sum(axis=(1, 2), keepdims=True))


def test_the_loss_is_half_the_squared_distance_of_the_maps_summed_over_pairs():
    random = numpy.random.default_rng(0)
    taught = [random.normal(size=(5, 8, 8, 3)), random.normal(size=(5, 4, 2, 7))]
    learned = [random.normal(size=(5, 8, 8, 2)), random.normal(size=(5, 4, 2, 1))]
    found = attention.compute_losses(
        list(map(tf.constant, taught)), list(map(tf.constant, learned))
    )
    expected = sum(
        ((compute_maps(one) - compute_maps(other)) ** 2).sum(axis=(1, 2)) / 2
        for one, other in zip(taught, learned, strict=True)
    )
    numpy.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_larger_map_is_resized_to_the_smaller_one_bilinearly():
    random = numpy.random.default_rng(0)
    large, small = random.random((1, 8, 8, 1)), random.random((1, 12, 4, 1))
    found = attention.compute_losses([tf.constant(large)], [tf.constant(small)])
    maps = []
    for values in (large, small):
        energy = (values[0, :, :, 0] ** 2).astype(numpy.float32)
        rows, columns = (
            (numpy.arange(size) + 0.5) * energy.shape[i] / size - 0.5
            for i, size in enumerate((8, 4))
        )
        maps.append(compute_maps(numpy.sqrt(interpolate(energy, rows, columns))[None, :, :, None]))
    numpy.testing.assert_allclose(found, [((maps[0] - maps[1]) ** 2).sum() / 2], rtol=1e-5)


def interpolate(values, rows, columns):
    """Return a matrix at places between its rows and columns."""
    by_column = numpy.stack(
        [numpy.interp(rows, range(len(values)), column) for column in values.T], axis=1
    )
    return numpy.stack([numpy.interp(columns, range(values.shape[1]), row) for row in by_column])


def test_equal_maps_and_maps_of_zeros_have_a_finite_gradient():
    same = tf.constant(numpy.random.default_rng(0).random((2, 4, 4, 3)))
    for features in (same, tf.zeros_like(same)):
        with tf.GradientTape() as tape:
            tape.watch(features)
            losses = attention.compute_losses([same], [features])
        assert numpy.isfinite(tape.gradient(losses, features)).all()
    assert numpy.abs(attention.compute_losses([same], [same])).max() == 0


def test_the_feature_maps_are_those_at_the_ends_of_stages():
    model = small_models.build(small_models.make_settings("resnet"), SIZE)
    found = attention.list_feature_maps(model)
    assert [each.size for each in found] == [(16, 16), (8, 8), (4, 4)]
    ends = [
        next(layer for layer in reversed(model.layers) if has_size(layer, each)) for each in found
    ]
    assert [each.layer for each in found] == [layer.name for layer in ends]


def has_size(layer, found):
    return tuple(layer.output.shape[1:3]) == found.size and len(layer.output.shape) == 4


def test_networks_of_other_depths_are_paired_from_their_ends():
    teacher = small_models.build(small_models.make_settings("resnet"), SIZE)
    student = small_models.build(small_models.make_settings("cnn", filters=[2]), SIZE)
    pairs = attention.pair(teacher, student)
    assert [each.size for each, _ in pairs] == [(8, 8), (4, 4)]
    assert [each.size for _, each in pairs] == [(16, 16), (8, 8)]


def test_a_network_without_feature_maps_has_no_pairs():
    images = keras.Input(SIZE, dtype="uint8")
    dense = keras.Model(images, keras.layers.Dense(2)(keras.layers.Flatten()(images)))
    assert attention.pair(dense, dense) == []


def test_the_feature_maps_of_a_model_for_smaller_images_are_its_own():
    model = small_models.build(small_models.make_settings("resnet"), SIZE)
    resized = share_layers(model, (8, 8))
    found = attention.list_feature_maps(resized)
    assert [each.size for each in found] == [(8, 8), (4, 4), (2, 2)]
    watched = keras.Model(resized.inputs[0], [each.output for each in found])
    images = numpy.zeros((1, 8, 8, 3), numpy.uint8)
    assert [tuple(each.shape[1:3]) for each in watched(images)] == [(8, 8), (4, 4), (2, 2)]
