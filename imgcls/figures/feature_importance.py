"""Feature importance: by how much the accuracy falls if channels, frequencies or regions of each
image are taken from another one. Light zone.

Permutation importance (Breiman, 2001). Redrawn from importance.json, which `explain` writes.
"""

from typing import TYPE_CHECKING

from imgcls.explanation import importance_drawing
from imgcls.figures import Subject, _explanations
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOW_TO_READ = (
    "The longest bars and the darkest cells carry the accuracy; a region at the border hints at a "
    "shortcut."
)


class Settings(PartSettings):
    """Feature importance has no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw bars with intervals, and a grid of regions.

    Raises:
        NotDrawableError: no split of the run was explained, or another model was.
        DataError: the file is damaged.
    """
    saved = _explanations.find(subject)
    found = saved.read_importance()
    _explanations.require_current(subject, saved, found)
    title = f"{saved.split} split, {found.images:,} images"
    return importance_drawing.draw_importance(found, title)
