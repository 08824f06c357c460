"""Class distribution: the number of images of each class in each split. Light zone."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from imgcls.datasets import SPLITS
from imgcls.figures import Subject, _style
from imgcls.parts import PartSettings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HOW_TO_READ = "Short bars are classes with few images, whose metrics have wide intervals."


class Settings(PartSettings):
    """The settings of the class distribution."""

    rows: Annotated[int, Field(ge=1)] = 200
    """Classes shown, at most: those with the fewest training images."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw horizontal bars, one row per class and one panel per split."""
    import numpy

    classes, counts = subject.classes, subject.data.class_counts
    shown = numpy.sort(numpy.argsort(counts["train"], kind="stable")[: settings.rows])
    names = [classes[i] for i in shown]
    figure = _style.make_figure(_style.WIDTH, _style.compute_rows_height(len(shown)) + 1.0)
    panels = figure.subplots(1, len(SPLITS), sharey=True)
    for axes, split in zip(panels, SPLITS, strict=True):
        bars = axes.barh(
            range(len(shown)), [counts[split][i] for i in shown], color=_style.SPLIT_COLORS[split]
        )
        axes.bar_label(bars, fmt="{:,.0f}", padding=2, fontsize=7)
        axes.set_title(f"{split}: {sum(counts[split]):,} images", fontsize=9)
        # Leave space for the number beside the longest bar, and an axis for an empty split.
        axes.set_xlim(0, max(1, *[counts[split][i] for i in shown]) * 1.3)
        axes.locator_params(axis="x", nbins=4, integer=True)
        axes.grid(axis="x")
        axes.tick_params(axis="y", length=0)
    _style.label_rows(panels[0], names)
    if len(shown) < len(classes):
        figure.suptitle(
            f"the {len(shown)} of {len(classes)} classes with the fewest training images",
            fontsize=9,
        )
    return figure
