"""What holds for every model part: channels, odd sizes, precisions, two devices, plain Keras.

Models are small (`small_models`), and steps run without compilation, which would take most of the
time.
"""

import numpy
import pytest
import small_models
from experiments import describe_model

from imgcls.training.model_file import make_plain_model, make_serving_model, save_model

each_model = pytest.mark.parametrize("name", small_models.EACH)
ODD = (33, 35)
"""Height and width of images that no stride divides."""
LIMITED = ("keras_application", small_models.HUB)
"""Keras refuses images of less than 32x32; the default preset of KerasHub is a download."""
CASES = {"float32": 1, "mixed_bfloat16": 4, "mixed_float16": 3, "float64": 3}
"""The channels with which each precision is tested. On a CPU, tensorfloat32 is float32; and the two
devices of another test compute in float64.
"""


def has_imagenet(name):
    """Return whether a model scales pixels as its ImageNet weights need it."""
    return small_models.parts.load("models", name).Settings.has_imagenet_weights


def list_cases():
    """Return each model with each precision; of the large ones all but one are `full`, and of the
    others those for which it is rarest that they fail alone.
    """
    often = {
        name: ["mixed_float16"] if name in small_models.LARGE else ["float32", "mixed_bfloat16"]
        for name in small_models.NAMES
    }
    return [
        small_models.mark(name, precision, is_full=precision not in often[name])
        for name in small_models.NAMES
        for precision in CASES
    ]


def make_batch(channels, size=ODD, images=4):
    """Return uint8 images and labels of 10 classes."""
    random = numpy.random.default_rng(0)
    pixels = random.integers(0, 256, (images, *size, channels), numpy.uint8)
    return pixels, random.integers(0, 10, images).astype(numpy.int32)


def compute_gradients(model, images, labels, first_row=0, batch_size=4):
    """Return the loss's gradients by the trainable variables, for rows of a global batch."""
    from imgcls.backend import tf

    with tf.GradientTape() as tape:
        rows = {"step": tf.constant(0), "first_row": tf.constant(first_row)}
        logits = model(images, training=True, **rows)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        loss = tf.reduce_sum(losses) / batch_size
    return tape.gradient(loss, [variable.value for variable in model.trainable_variables])


@pytest.mark.parametrize(("name", "precision"), list_cases())
def test_a_model_trains_and_is_saved_to_the_same_bits(name, precision, tmp_path):
    """Every parameter gets a gradient; and the file gives the same predictions in plain Keras."""
    from imgcls.backend import keras

    keras.config.set_dtype_policy(precision)
    images, labels = make_batch(CASES[precision])
    model = small_models.build(small_models.make_settings(name), images.shape[1:])
    gradients = compute_gradients(model, images, labels)
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        assert numpy.isfinite(gradient).all(), variable.path
    assert sum(numpy.any(gradient != 0) for gradient in gradients) > len(gradients) / 2

    served = make_serving_model(make_plain_model(model), 1.0)
    assert all(type(layer).__module__.startswith("keras.") for layer in served.layers)
    description = describe_model([str(label) for label in range(10)], images.shape[1:])
    save_model(served, description, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    probabilities = keras.ops.softmax(model(images, training=False)).numpy()
    assert probabilities.dtype == ("float64" if precision == "float64" else "float32")
    numpy.testing.assert_array_equal(loaded(images, training=False), probabilities)


@pytest.mark.parametrize("name", small_models.MARKED)
def test_two_devices_compute_the_gradients_of_one(name):
    """Batch norm is that of the global batch, and dropout drops the same units."""
    from imgcls.backend import keras, tf
    from imgcls.distributed.cluster import SINGLE_PROCESS
    from imgcls.strategies import mirrored

    keras.config.set_dtype_policy("float64")
    images, labels = make_batch(3)
    keras.utils.set_random_seed(0)
    model = small_models.build(small_models.make_settings(name), images.shape[1:])
    expected = compute_gradients(model, images, labels)
    strategy = mirrored.build(mirrored.Settings(name="mirrored", replicas=2), SINGLE_PROCESS)
    with strategy.scope():
        keras.utils.set_random_seed(0)
        copied = small_models.build(small_models.make_settings(name), images.shape[1:])

    def compute_locally(first):
        local = tf.gather(images, first + tf.range(2)), tf.gather(labels, first + tf.range(2))
        gradients = compute_gradients(copied, *local, first)
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)

    firsts = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(2 * context.replica_id_in_sync_group)
    )
    actual = strategy.run(compute_locally, args=(firsts,))
    largest = max(numpy.abs(each).max() for each in expected)
    for variable, one, two in zip(model.trainable_variables, expected, actual, strict=True):
        (two, *_) = strategy.experimental_local_results(two)
        # Where another batch norm follows, the gradient of a shift is 0 but for rounding.
        tolerance = 1e-9 * numpy.abs(one).max() + 1e-12 * largest
        numpy.testing.assert_allclose(two, one, atol=tolerance, err_msg=variable.path)


@pytest.mark.parametrize("name", [name for name in small_models.NAMES if not has_imagenet(name)])
def test_the_model_itself_standardizes_pixels(name):
    """The first layer gets bytes, and returns pixels with a mean of 0 and a std of 1."""
    from imgcls.backend import keras

    images, _ = make_batch(3)
    model = small_models.build(small_models.make_settings(name), images.shape[1:])
    assert model.inputs[0].dtype == "uint8"
    first = keras.Model(model.input, model.get_layer("standardize").output)
    numpy.testing.assert_allclose(first(images), (images - 100.0) / 50.0, rtol=1e-5, atol=1e-5)


@each_model
def test_the_last_layer_is_named_logits_and_has_the_classes(name):
    model = small_models.build(small_models.make_settings(name), (32, 32, 3), classes=7)
    assert model.layers[-1].name == "logits"
    assert model.layers[-1].units == 7


@pytest.mark.parametrize("name", [name for name in small_models.NAMES if name not in LIMITED])
def test_the_defaults_suit_the_smallest_images_of_the_data_sets(name):
    """Those of `digits` have 8x8 pixels."""
    settings = small_models.parts.load("models", name).Settings(name=name)
    assert small_models.build(settings, (8, 8, 1)).output.shape == (None, 10)
