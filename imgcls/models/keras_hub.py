"""A convolutional network of KerasHub, such as ResNet-vd, with the weights of one of its presets.

https://keras.io/keras_hub/presets states the papers. It needs the extra imgcls[hub]. The network
has Keras's layers, with batch norm and dropout replaced by ours, so that model.keras loads without
KerasHub; scale and offset of the preset's image converter are part of it. What else the converter
does is left to `data.resize`: its interpolation and antialiasing. KerasHub has no crop fraction
(crop_pct of timm). Presets that it converts from other libraries are refused: their logits
differ from the originals'.

Light zone.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, field_validator

from imgcls.errors import UserError
from imgcls.models import ModelSettings, Problem, _hub_presets

if TYPE_CHECKING:
    import keras

    from imgcls.transfer.weights import Weights


class Settings(ModelSettings):
    """The settings of a network of KerasHub."""

    has_imagenet_weights: ClassVar[bool] = True

    preset: str = "resnet_18_imagenet"
    """The name of a preset in KerasHub, or the folder of one that its `save_to_preset` wrote. With
    `weights: imagenet`, its own weights are loaded, whatever they were trained on."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Dropout rate before the last dense layer."""

    @field_validator("preset")
    @classmethod
    def _check_preset(cls, value: str) -> str:
        if "://" in value:
            raise ValueError(f"is {value!r}, but {_hub_presets.CONVERTED}")
        return value

    def find_imagenet(self) -> Path | None:
        """Return the file of a folder's weights; None if KerasHub will download them.

        Raises:
            UserError: KerasHub is not installed, or has no such preset.
            DataError: the folder of a preset is damaged.
        """
        return _hub_presets.find_preset(self.preset).weights_file

    def get_layer_types(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` the network contains; neither if it cannot
        be built: that is an error once it is, and not of an old run that is read.
        """
        try:
            return set(_hub_presets.find_preset(self.preset).family.layer_types)
        except UserError:
            return set()


def build(settings: Settings, images: "keras.KerasTensor", problem: Problem) -> "keras.KerasTensor":
    """Build the network on symbolic images, and return its logits, (batch, classes).

    Raises:
        UserError: KerasHub is not installed, or the preset or the images do not suit.
        DataError: KerasHub cannot download the preset's configuration, or its folder is damaged.
    """
    preset = _hub_presets.find_preset(settings.preset)

    from imgcls.models import _hub_backbone, _layers
    from imgcls.models._dropout import Dropout

    if preset.folder is None:  # all of KerasHub's have this total stride
        _layers.note_small_images(f"keras_hub, {preset.name}", images.shape[1:3], 32)
    features = _hub_backbone.make_features(preset, images, problem)
    features = Dropout(settings.dropout, problem.dropout_seed, name="dropout")(features)
    return _layers.make_logits(features, problem)


def load_imagenet(settings: Settings) -> "Weights":
    """Return the weights of the preset's backbone, by the names of the layers.

    Raises:
        UserError: KerasHub is not installed, or the preset does not suit.
        DataError: KerasHub cannot download them, or a file of the folder is damaged.
    """
    preset = _hub_presets.find_preset(settings.preset)

    from imgcls.models import _hub_backbone

    return _hub_backbone.read_weights(preset)
