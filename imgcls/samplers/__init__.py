"""Samplers: each file holds `Settings` (a `SamplerSettings`) and one function. Light zone.

`build(settings, seed)` returns an Optuna sampler, which proposes the parameters of one trial; for
the next one, it is built again with another seed. `list_points(settings, space)` instead returns
all proposals in advance, each a mapping of keys to values as Optuna takes them, if
`Settings.has_end`. Optuna is imported inside functions.
"""

from typing import ClassVar

from imgcls.parts import PartSettings


class SamplerSettings(PartSettings):
    """The settings that all samplers share."""

    has_end: ClassVar[bool] = False
    """Whether it proposes a finite number of points, after which a search ends by itself."""
