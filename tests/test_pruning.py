"""Structured pruning: what is traced, and that nothing but the removed channels changes."""

import numpy
import pytest
import small_models
from pruned_models import find_groups, make_model, randomize


def make_images(model, count=4):
    """Return random images of a model's shape and dtype."""
    values = numpy.random.default_rng(1).integers(0, 256, (count, *model.input_shape[1:]))
    return values.astype(model.inputs[0].dtype)


def remove_some(trace, fraction=0.4):
    """Return a mask that removes a random part of the groups, at least one channel a layer left."""
    kept = trace.keep_all()
    random = numpy.random.default_rng(2)
    free = [group for use in trace.uses for group in use.outputs if group not in trace.reasons]
    for group in sorted(set(free)):
        kept[group] = random.random() >= fraction
    for use in trace.uses:
        if not kept[use.outputs].any():
            kept[use.outputs[0]] = True
    return kept


def silence(model, trace, kept):
    """Return a copy of a model in which what the removed channels carry is multiplied by 0 where
    a convolution or dense layer reads it.
    """
    from imgcls.backend import keras

    silenced = keras.models.clone_model(model)
    silenced.set_weights(model.get_weights())
    for use in trace.uses:
        if use.call.kind not in ("layers.Conv2D", "layers.Dense"):
            continue
        kernel = silenced.get_layer(use.name).kernel
        mask = kept[use.inputs].astype(numpy.float32)
        if kernel.shape[-2] == len(mask):
            kernel.assign(kernel * mask[:, None])
    return silenced


def predict(model, images):
    return model(images, training=False).numpy()


@pytest.mark.parametrize("name", small_models.MARKED)
def test_a_pruned_model_is_the_original_with_the_removed_channels_silenced(name):
    from imgcls.models import _cost
    from imgcls.pruning.multiply_adds import count_each
    from imgcls.pruning.rebuild import remove_channels
    from imgcls.pruning.trace import trace

    model = make_model(name)
    traced = trace(model)
    assert not traced.unknown
    kept = remove_some(traced)
    narrow = remove_channels(model, traced, kept)
    images = make_images(model)
    expected = predict(silence(model, traced, kept), images)
    numpy.testing.assert_allclose(
        predict(narrow, images), expected, rtol=0, atol=2e-4 * numpy.abs(expected).max()
    )
    assert narrow.count_params() < model.count_params()
    assert _cost.count_multiply_adds(narrow) == sum(count_each(traced, kept))
    assert _cost.count_multiply_adds(model) == sum(count_each(traced, traced.keep_all()))


@pytest.mark.parametrize("name", small_models.MARKED)
def test_removing_nothing_gives_the_same_bits(name):
    from imgcls.pruning.rebuild import remove_channels
    from imgcls.pruning.trace import trace

    model = make_model(name)
    traced = trace(model)
    copy = remove_channels(model, traced, traced.keep_all())
    images = make_images(model)
    assert predict(copy, images).tobytes() == predict(model, images).tobytes()
    assert [layer.name for layer in copy.layers] == [layer.name for layer in model.layers]


def test_sums_and_concatenations_join_the_channels_that_a_drawing_shows():
    """a and b are added; c is concatenated behind the sum, and the whole is added to d."""
    from imgcls.backend import keras
    from imgcls.pruning.trace import trace

    def convolve(name, filters):
        return keras.layers.Conv2D(filters, 1, name=name)

    images = keras.Input((4, 4, 3))
    total = keras.layers.Add()([convolve("a", 2)(images), convolve("b", 2)(images)])
    joined = keras.layers.Concatenate()([total, convolve("c", 3)(images)])
    outputs = convolve("d", 5)(joined) + joined
    traced = trace(keras.Model(images, keras.layers.Dense(2, name="head")(outputs)))

    a, b, c, d = (find_groups(traced, name) for name in "abcd")
    assert a == b == d[:2]
    assert c == d[2:]
    assert len({*d}) == 5
    assert not set(d) & set(traced.reasons)
    assert set(find_groups(traced, "head")) <= set(traced.reasons)


def build_operators(images, keras):
    """Operators, slices of channels, broadcasting, a constant, and a product with a gate."""
    features = keras.layers.Conv2D(8, 3, padding="same", name="first")(images)
    left, right = features[..., :3], features[..., 5:]
    both = keras.ops.relu(left * 2.0 + right)
    gate = keras.layers.Conv2D(1, 1, activation="sigmoid", name="gate")(features)
    return keras.layers.GlobalAveragePooling2D()(both * gate)


def build_groups(images, keras):
    """Grouped, depthwise and separable convolutions, with several outputs for an input channel."""
    features = keras.layers.Conv2D(8, 3, name="first")(images)
    features = keras.layers.Conv2D(8, 3, groups=2, name="grouped")(features)
    features = keras.layers.Conv2D(16, 1, groups=8, name="as_depthwise")(features)
    features = keras.layers.DepthwiseConv2D(1, depth_multiplier=2, name="depthwise")(features)
    features = keras.layers.PReLU(shared_axes=[1, 2])(features)
    features = keras.layers.SeparableConv2D(8, 3, depth_multiplier=2, name="separable")(features)
    return keras.layers.Flatten()(features)


def build_gates(images, keras):
    """Squeeze and excitation, with a reshaped vector, and an addition over rows."""
    features = keras.layers.Conv2D(8, 3, name="first")(images)
    gate = keras.layers.GlobalAveragePooling2D()(features)
    gate = keras.layers.Reshape((1, 1, 8))(gate)
    gate = keras.layers.Conv2D(8, 1, activation="sigmoid")(gate)
    features = keras.layers.Multiply()([features, gate])
    return keras.layers.Reshape((-1,))(features)


def build_nested(images, keras):
    """A model within a model, called twice, and a sequential one; their layers share names."""
    inner = keras.Input((None, None, 8))
    hidden = keras.layers.Conv2D(4, 1, name="a")(inner)
    shared = keras.Model(inner, keras.layers.Conv2D(8, 1, name="b")(hidden) + inner)
    sequential = keras.Sequential([keras.layers.Conv2D(8, 1, name="a"), keras.layers.ReLU()])
    features = keras.layers.Conv2D(8, 3, name="first")(images)
    return keras.layers.GlobalMaxPooling2D()(sequential(shared(shared(features))))


def build_paddings(images, keras):
    """Padding, cropping, upsampling, and rows that are concatenated."""
    features = keras.layers.Conv2D(8, 3, name="first")(images)
    features = keras.layers.Cropping2D(1)(keras.layers.ZeroPadding2D(2)(features))
    features = keras.layers.UpSampling2D(2)(features)
    other = keras.layers.Conv2D(8, 1)(features)
    features = keras.layers.Concatenate(axis=1)([features, other])
    return keras.layers.GlobalAveragePooling2D()(keras.layers.LeakyReLU()(features))


BUILT = [build_operators, build_groups, build_gates, build_nested, build_paddings]


@pytest.mark.parametrize("build", BUILT)
def test_graphs_of_any_kind_lose_only_the_silenced_channels(build):
    """The oracle: channels that are 0 throughout, since their weights and biases are."""
    from imgcls.backend import keras
    from imgcls.models import _cost
    from imgcls.pruning.multiply_adds import count_each
    from imgcls.pruning.rebuild import remove_channels
    from imgcls.pruning.trace import trace

    images = keras.Input((8, 8, 3))
    model = randomize(keras.Model(images, keras.layers.Dense(2, name="head")(build(images, keras))))
    traced = trace(model)
    kept = remove_some(traced)
    narrow = remove_channels(model, traced, kept)
    pixels = make_images(model) / 255
    silence_weights(traced, kept)
    numpy.testing.assert_allclose(predict(narrow, pixels), predict(model, pixels), atol=1e-5)
    assert narrow.count_params() < model.count_params()
    counted = [_cost.count_multiply_adds(each) for each in (model, narrow)]
    assert counted == [sum(count_each(traced, mask)) for mask in (traced.keep_all(), kept)]


def silence_weights(traced, kept):
    """Set the rows of kernels to 0 that read removed channels, in the traced model itself."""
    from imgcls.backend import keras

    for use in traced.uses:
        layer, mask = use.call.operation, kept[use.inputs].astype(numpy.float32)
        if isinstance(layer, keras.layers.SeparableConv2D):
            layer.depthwise_kernel.assign(layer.depthwise_kernel * mask[:, None])
        elif use.call.kind in ("layers.Conv2D", "layers.Dense"):
            rows = mask.reshape(getattr(layer, "groups", 1), -1)
            columns = layer.kernel.shape[-1] // len(rows)
            layer.kernel.assign(layer.kernel * numpy.repeat(rows.T, columns, axis=1))


@pytest.mark.parametrize("kind", ["unknown", "layer_norm", "softmax"])
def test_nothing_is_removed_through_what_depends_on_all_channels(kind):
    from imgcls.backend import keras
    from imgcls.pruning.trace import trace

    layer = {
        "unknown": keras.layers.Conv2DTranspose(4, 1, name="layer"),
        "layer_norm": keras.layers.LayerNormalization(name="layer"),
        "softmax": keras.layers.Activation("softmax", name="layer"),
    }[kind]
    images = keras.Input((4, 4, 3))
    features = layer(keras.layers.Conv2D(4, 1, name="first")(images))
    features = keras.layers.Conv2D(6, 1, name="second")(features)
    traced = trace(keras.Model(images, keras.layers.Conv2D(2, 1)(features)))
    assert all("layer" in traced.reasons[each] for each in find_groups(traced, "first"))
    assert not set(find_groups(traced, "second")) & set(traced.reasons)
    names = {"unknown": ["layer (Conv2DTranspose)"], "softmax": ["layer (Activation)"]}
    assert list(traced.unknown) == names.get(kind, [])
