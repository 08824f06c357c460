"""How an experiment file selects layers of a model. Light zone."""

import re
from typing import Annotated

from pydantic import AfterValidator, Field


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
