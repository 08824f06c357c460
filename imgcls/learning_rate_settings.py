"""How the section `train` changes the optimizer's learning rate, apart from the schedule. Light
zone.
"""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from imgcls.layer_settings import LayerPattern
from imgcls.parts import Section


class LearningRateFactor(Section):
    """A factor on the learning rate of some layers, and with it on their decoupled weight decay."""

    layers: LayerPattern
    """A regular expression that is found in the names of the layers, or of a model that contains
    them."""
    factor: Annotated[float, Field(gt=0)]
    """The factor; those of all entries that select a layer are multiplied."""


class LearningRateScaling(Section):
    """The optimizer's learning rate is for batches of a reference size.

    Linear: Goyal et al., 2017, section 2.1; by root: Krizhevsky, 2014, section 5.
    """

    short: ClassVar[str | None] = "batch_size"

    batch_size: Annotated[int, Field(ge=1)] = 256
    """The reference: images per global batch for which the learning rate holds as it is."""
    rule: Literal["linear", "sqrt"] = "linear"
    """Whether the learning rate grows in proportion to the batch size, or to its square root."""

    def compute_factor(self, batch_size: int) -> float:
        """Return the factor on the learning rate for a batch size."""
        ratio = batch_size / self.batch_size
        return ratio if self.rule == "linear" else math.sqrt(ratio)
