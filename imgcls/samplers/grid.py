"""Grid search: every combination of the choices and of the steps of ranges, each once. Light zone.

Values that a condition excludes are not combined with others. A floating-point range needs a step.
"""

from typing import TYPE_CHECKING, Any, ClassVar

from imgcls.samplers import SamplerSettings

if TYPE_CHECKING:
    from imgcls.tuning.space import SearchSpace


class Settings(SamplerSettings):
    """Grid search has no settings."""

    has_end: ClassVar[bool] = True


def list_points(settings: Settings, space: "SearchSpace") -> list[dict[str, Any]]:
    """Return the points of the grid, in the order of the space, the last key changing fastest."""
    return space.list_points()
