"""A model for images of another size, with the same layers. Heavy zone."""

from typing import Any

from imgcls.backend import keras, tf
from imgcls.errors import UserError
from imgcls.models._dropout import register_rows


def share_layers(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """Return a model of the same layers for images of another height and width.

    Raises:
        UserError: a layer needs inputs of a fixed size, such as a dense layer after flattening.
    """

    def call(layer: keras.layers.Layer, *arguments: Any, **settings: Any) -> Any:
        try:
            return layer(*arguments, **settings)
        except ValueError as error:
            raise UserError(
                f"train.progressive_resizing: layer {layer.name} of the model takes images of"
                f" {model.input_shape[1]}x{model.input_shape[2]} pixels only, and not of"
                f" {size[0]}x{size[1]} ({str(error).splitlines()[0]}); choose a model that ends in"
                " global pooling, such as resnet, or a larger initial_scale"
            ) from None

    images = keras.Input((*size, model.input_shape[3]), dtype="uint8")
    resized = keras.models.clone_model(
        model, input_tensors=images, clone_function=lambda layer: layer, call_function=call
    )
    return register_rows(resized)


def resize_images(images: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    """Resize uint8 images bilinearly, with pixel centers at halves, and round them to uint8.

    In float32, since there is no GPU kernel for uint8.
    """
    resized = tf.raw_ops.ResizeBilinear(
        images=tf.cast(images, tf.float32), size=list(size), half_pixel_centers=True
    )
    return tf.cast(tf.round(resized), tf.uint8)
