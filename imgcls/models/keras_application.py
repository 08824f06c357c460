"""Any network of keras.applications, such as ResNet50, with weights from ImageNet.

https://keras.io/api/applications states the papers. Batch norm and dropout are replaced by ours;
the preprocessing of each family is part of the network. Light zone: keras is imported inside the
functions.
"""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator, model_validator

from imgcls import parts
from imgcls.errors import UserError
from imgcls.models import ModelSettings, Problem
from imgcls.models import _application_families as families

if TYPE_CHECKING:
    import keras

    from imgcls.transfer.weights import Weights


class Settings(ModelSettings):
    """The settings of an application."""

    has_imagenet_weights: ClassVar[bool] = True

    application: str = "MobileNetV3Small"
    """The name of a function in keras.applications."""
    alpha: Annotated[float, Field(gt=0)] | None = None
    """Factor on the widths of a MobileNet; 1 unless given. ImageNet weights exist for some only."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout rate before the last dense layer."""

    @field_validator("application")
    @classmethod
    def _check_application(cls, value: str) -> str:
        names = families.list_applications()
        if value not in names:
            raise ValueError(
                f"is {value!r}, which keras.applications does not have; allowed:"
                f" {', '.join(names)}{parts.suggest(value, names)}"
            )
        return value

    @model_validator(mode="after")
    def _check_alpha(self) -> "Settings":
        if self.alpha is not None and not self.application.startswith("MobileNet"):
            raise ValueError(
                f"alpha is {self.alpha:g}, but {self.application} does not have it; give it for a"
                " MobileNet, or remove it"
            )
        return self

    def get_layer_types(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` the application contains."""
        return set(families.get_family(self.application).layer_types)


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Build the network on symbolic images, and return its logits, (batch, classes).

    Raises:
        UserError: Keras rejects the size of the images, or `alpha`.
    """
    import keras

    from imgcls.models import _application_layers, _layers
    from imgcls.models._dropout import Dropout

    family = families.get_family(settings.application)
    name = f"keras_application, {settings.application}"
    _layers.note_small_images(name, images.shape[1:3], 32)
    # On an input of its own, since `images` would keep its layers, and their weights, alive.
    own_images = keras.Input(images.shape[1:], dtype=images.dtype)
    pixels = _application_layers.preprocess(own_images, family.preprocessing, problem)
    changes = {"input_tensor": pixels, "input_shape": pixels.shape[1:], "weights": None}
    try:
        original = _make_application(settings, {**family.arguments, **changes})
    except ValueError as error:
        raise UserError(
            f"model keras_application: Keras rejects {settings.application}: {error}; if the images"
            " are too small, give a larger data.size, or else another model.application"
        ) from None
    features = _application_layers.replace_layers(
        original, images, problem.dropout_seed + 1, families.OWN_PREPROCESSING
    )
    features = Dropout(settings.dropout, problem.dropout_seed, name="dropout")(features)
    return _layers.make_logits(features, problem)


def _make_application(settings: Settings, arguments: dict[str, Any]) -> "keras.Model":
    """Return Keras's model without its last layers."""
    import keras

    own = {} if settings.alpha is None else {"alpha": settings.alpha}
    function = getattr(keras.applications, settings.application)
    model: keras.Model = function(include_top=False, pooling="avg", **own, **arguments)
    return model


def load_imagenet(settings: Settings) -> "Weights":
    """Return the weights that Keras downloads, by the names of the layers.

    Raises:
        DataError: they cannot be downloaded.
        UserError: there are none for `alpha`.
    """
    from imgcls.transfer import keras_models
    from imgcls.transfer.weights import TrainedOn

    family = families.get_family(settings.application)
    size = families.SIZES.get(settings.application, 224)
    changes = {"input_shape": (size, size, 3), "weights": "imagenet"}
    try:
        with contextlib.redirect_stdout(sys.stderr):  # where Keras shows the progress
            model = _make_application(settings, {**family.arguments, **changes})
    except Exception as error:  # Keras raises a plain Exception if a download fails
        keras_models.explain_download(error)
        if not isinstance(error, ValueError):
            raise
        raise UserError(
            f"model.weights: Keras has no ImageNet weights for {settings.application} with these"
            f" settings: {error}; change model.alpha, or remove model.weights"
        ) from None
    source = f"{settings.application} of keras.applications"
    return keras_models.read_model(model, source, TrainedOn((size, size, 3), "as its paper"))
