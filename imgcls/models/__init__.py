"""Models: each file holds `Settings` and `build(settings, images, problem)`. Light zone.

`Settings` derives from `ModelSettings`. `images` is a symbolic Keras tensor, uint8 (batch, height,
width, channels); `build` returns the logits, a symbolic tensor (batch, classes). The first layers
of a model do its preprocessing, so that training, evaluation and the exported file cannot differ
in it. Keras is imported inside `build`. For dropout, use `_dropout.Dropout`, which a GPU does not
have to wait for.
"""

from dataclasses import dataclass

from imgcls.parts import PartSettings


class ModelSettings(PartSettings):
    """The settings that all models share."""

    def get_layer_types(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` the model contains, for images of some
        size: the settings are checked before that is known.

        XLA cannot always compile them, and batch norm normalizes each micro-batch separately. Layer
        norm needs no mention: it normalizes each image by itself, with operations that XLA has.
        """
        return set()


@dataclass(frozen=True)
class Problem:
    """The classification problem that a model is built for.

    Attributes:
        classes: number of classes.
        mean, std: of the training pixels, per channel, in 0..255.
        dropout_seed: seed of the first dropout layer; further layers add 1, 2, ...; with the
            same seed, they would drop the same units.
    """

    classes: int
    mean: list[float]
    std: list[float]
    dropout_seed: int
