"""Corruptions: accuracy and calibration error under each corruption, at each severity. Light zone.

Hendrycks and Dietterich, 2019. Redrawn from corruptions.json, which `eval --corruptions` writes.
"""

import os
from typing import TYPE_CHECKING

from imgcls.corruptions import SEVERITIES
from imgcls.figures import NotDrawableError, Subject, _style
from imgcls.parts import PartSettings
from imgcls.report import robustness_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from imgcls.evaluation.robustness_record import Robustness

PANELS = {
    "accuracy": ("accuracy", "cividis"),
    "expected_calibration_error": ("expected calibration error", "cividis_r"),
}
"""The numbers that are shown, each with its title, and colors that are bright where it is good."""
LIGHT_ABOVE = 0.55
"""The position on the scale of colors above which they are so bright that text is dark."""

HOW_TO_READ = (
    "Dark cells are corruptions under which the model fails; read along a row to see how fast "
    "it degrades."
)


class Settings(PartSettings):
    """The heat map of corruptions has no settings."""


def draw(settings: Settings, subject: Subject) -> "Figure":
    """Draw a panel for each number: corruptions as rows, severities as columns.

    Raises:
        NotDrawableError: the run was not measured under corruptions, or another model was.
    """
    found = _read(subject)
    names = [each.replace("_", " ") for each in found.corruptions]
    figure = _style.make_figure(_style.WIDTH, 1.7 + 0.27 * len(names))
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (field, (title, colors)) in zip(panels, PANELS.items(), strict=True):
        image = _draw_panel(axes, found, field, colors)
        axes.set_title(title, fontsize=9)
        figure.colorbar(image, ax=axes, orientation="horizontal", shrink=0.8, aspect=40, pad=0.02)
    _style.label_rows(panels[0], ["clean", *names])
    figure.suptitle(
        f"{robustness_text.describe_finding(found)}\n"
        f"({found.split} split, {robustness_text.describe_images(found)})",
        fontsize=10,
        fontweight="bold",
        x=0.01,
        ha="left",
    )
    return figure


def _read(subject: Subject) -> "Robustness":
    for split in ("test", "validation", "train"):
        if os.path.lexists(subject.folder.robustness_file(split)):
            found = subject.folder.read_robustness(split)
            command = f"imgcls eval {subject.folder.folder} --corruptions"
            subject.require_current_model(found.model, "the numbers under corruptions", command)
            return found
    raise NotDrawableError(
        f"{subject.folder.folder} was not measured under corruptions; run `imgcls eval"
        f" {subject.folder.folder} --corruptions` first"
    )


def _draw_panel(axes: "Axes", found: "Robustness", field: str, colors: str) -> "AxesImage":
    """Draw the values as colors and as numbers; the clean images are the first row."""
    import numpy

    rows = [found.list_values(name, field) for name in found.corruptions]
    values = numpy.array([[getattr(found.clean, field)] * len(SEVERITIES), *rows])
    top = 1.0 if field == "accuracy" else max(0.1, float(values.max()))
    image = axes.imshow(values, cmap=colors, vmin=0, vmax=top, aspect="auto")
    for (row, column), value in numpy.ndenumerate(values):
        position = value / top if colors == "cividis" else 1 - value / top
        color = _style.INK if position > LIGHT_ABOVE else "white"
        text = f"{value:.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    axes.axhline(0.5, color="white", linewidth=2)
    axes.set_xticks(range(len(SEVERITIES)), [str(each) for each in SEVERITIES])
    axes.set_xlabel("severity")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return image
