"""Augmentations multiply no float matrices: a GPU rounds their arguments, and each library adds up
in its own order, so that images would depend on the device.
"""

import pytest
from augmentation_helpers import make_random, make_settings

from imgcls import parts
from imgcls.backend import tf

MIXING = ("cutmix", "mixup")
"""They mix pairs with weights in 256ths: a product with a byte is exact in ten bits, too."""


def find_products(function, *types):
    """Return the products of float matrices and the convolutions in a function of tensors."""
    signature = [tf.TensorSpec([8, 20, 20, 3], dtype) for dtype in types]
    graph = tf.function(function, input_signature=signature, autograph=False)
    definition = graph.get_concrete_function().graph.as_graph_def()
    nodes = [
        *definition.node,
        *(node for each in definition.library.function for node in each.node_def),
    ]
    floats = {dtype.as_datatype_enum for dtype in (tf.float16, tf.bfloat16, tf.float32)}
    return [
        node.op
        for node in nodes
        if any(name in node.op for name in ("MatMul", "Conv", "Einsum"))
        and any(value.type in floats for value in node.attr.values())
    ]


def make_function(name):
    """Return a function of images that applies an augmentation with all that it can do."""
    part = parts.load("augmentations", name)
    settings = make_settings(name, **({"hue": 0.1} if name == "color_jitter" else {}))

    def apply(images):
        if hasattr(part, "mix"):
            return part.mix(settings, images, tf.eye(8), make_random(8))
        return part.compute(settings, images, make_random(8))

    return apply


@pytest.mark.parametrize("name", parts.list_names("augmentations"))
def test_only_the_mixing_of_pairs_multiplies_float_matrices(name):
    assert bool(find_products(make_function(name), "uint8")) == (name in MIXING)


@pytest.mark.parametrize(
    "multiply",
    [
        lambda images: tf.matmul(images, images, transpose_b=True),
        lambda images: tf.linalg.einsum("bijc,bjkc->bikc", images, images),
        lambda images: tf.nn.conv2d(images, tf.ones([3, 3, 3, 1], images.dtype), 1, "SAME"),
        lambda images: tf.cond(
            tf.size(images) > 0,
            lambda: tf.matmul(images[..., 0], images[..., 0]),
            lambda: images[..., 0],
        ),
    ],
    ids=["matmul", "einsum", "convolution", "in a branch"],
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_product_of_float_matrices_is_found(multiply, dtype):
    assert find_products(multiply, dtype)


def test_products_of_integers_are_allowed():
    assert not find_products(lambda images: tf.matmul(images, images, transpose_b=True), "int32")
