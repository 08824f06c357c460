"""How an experiment file selects layers of a model. Light zone."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from imgcls.parts import Section, must_be


def _check_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(
            f"is {value!r}, which is not a regular expression ({error}); give a part of the names"
            " of layers, such as ^stem or stage_[12]"
        ) from None
    return value


LayerPattern = Annotated[str, Field(min_length=1), AfterValidator(_check_pattern)]
"""A regular expression that selects the layers in whose name it is found."""

LayerDepth = Annotated[int, Field(ge=1)] | Annotated[float, Field(gt=0, le=1)]
"""A number of layers with weights from the input on, or a fraction of them."""


class LayerSelection(Section):
    """Layers of the model, by name or by depth."""

    layers: LayerPattern | None = None
    """A regular expression that is found in the names of the layers, or of a model that contains
    them."""
    depth: Annotated[
        LayerDepth | None,
        must_be("a number of layers such as 3, or a fraction above 0 and up to 1.0"),
    ] = None
    """A fraction of the layers with weights, from the input on, such as 0.5, or a number of them;
    batch norm belongs to the layer before it, and the last dense layer is not counted."""

    @model_validator(mode="after")
    def _check_one_is_given(self) -> "LayerSelection":
        if (self.layers is None) == (self.depth is None):
            raise ValueError(
                "needs either layers, a regular expression, or depth, a fraction or a number of"
                f" layers; got {'neither' if self.layers is None else 'both'}"
            )
        return self
