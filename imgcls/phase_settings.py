"""The sections of `train` that divide a training into phases. Light zone."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from imgcls.durations import Duration, DurationIn
from imgcls.layer_settings import LayerSelection
from imgcls.parts import Section


class Freeze(LayerSelection):
    """Layers that are not trained, for the whole training or at its start."""

    until: Annotated[Duration, DurationIn("%", "steps", "epochs")] | None = None
    """How long the layers are frozen from the start of training on; the whole training unless
    given."""
    batch_norm: Literal["frozen", "trained"] = "frozen"
    """Whether batch norm among these layers is frozen too: it then normalizes by its moving
    averages, which do not change. `trained` trains its parameters, and updates the averages."""


class ProgressiveResizing(Section):
    """Train on smaller images first, which takes less time (Karras et al., 2018; MosaicML).

    Images are resized on the device, after augmentation. Their size grows in four steps, which are
    multiples of 4 pixels. Validation is always at full size.
    """

    short: ClassVar[str | None] = "initial_scale"

    initial_scale: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The first height and width, as a fraction of the full ones."""
    until: Annotated[Duration, DurationIn("%", "steps", "epochs")] = Duration(Decimal(50), "%")
    """When images reach their full size, counted from the start of training."""
