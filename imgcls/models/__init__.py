"""Models: each file holds `Settings` (a `ModelSettings`) and `build(settings, images, problem) ->
logits`. Light zone.

`images` is a symbolic Keras tensor, uint8 (batch, height, width, channels); the result is one too,
(batch, classes), before the softmax. Preprocessing is the model's own first layers, so that
training, evaluation and every exported file share it. Keras is imported inside `build`.
"""

from dataclasses import dataclass

from imgcls.parts import PartSettings


class ModelSettings(PartSettings):
    """What every model's settings have."""

    def uses(self) -> set[str]:
        """Return which of `max pooling` and `batch norm` it has.

        XLA cannot compile them everywhere, and batch norm sees each micro-batch by itself.
        """
        return set()


@dataclass(frozen=True)
class Problem:
    """What a model is built for.

    Attributes:
        classes: the width of the logits.
        mean, std: of the training pixels, per channel, in 0..255.
        dropout_seed: the first of the seeds that dropout layers take.
    """

    classes: int
    mean: list[float]
    std: list[float]
    dropout_seed: int
