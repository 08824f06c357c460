"""The verb `plot`: draws a run's figures and its report page. Light zone."""

import os
from collections.abc import Sequence
from pathlib import Path

from imgcls import parts
from imgcls.config import Experiment
from imgcls.errors import DataError, UserError
from imgcls.figures import NotDrawableError, Subject, _style
from imgcls.io.terminal import format_some, note, track
from imgcls.parts import PartSettings
from imgcls.report import page
from imgcls.run import Run


def plot(run: Run, experiment: Experiment | None = None, names: Sequence[str] = ()) -> list[Path]:
    """Draw figures as PNG files, and write report.html with all figures of the run.

    Args:
        experiment: None for that of the run; figures, metrics and `data.store_dir` may differ.
        names: of the figures to draw. By default those of the experiment; figures whose data is
            missing, such as an evaluation, are then left out with a note.

    Returns:
        The written files; the report page is the last.

    Raises:
        UserError: a name is unknown, a named figure cannot be drawn, or a file cannot be written.
        DataError: a named figure shows images, and their store is missing or changed.
    """
    subject = Subject(run, experiment or run.experiment)
    written = _draw_named(names, subject) if names else _draw_all_possible(subject)
    _note_missing_glyphs(subject)
    page.write_page(subject)
    return [*written, run.report_page]


def _draw_named(names: Sequence[str], subject: Subject) -> list[Path]:
    return [_draw(settings, subject) for settings in _find_figures(names, subject)]


def _draw_all_possible(subject: Subject) -> list[Path]:
    figures = subject.experiment.figures
    drawn = [
        _draw_if_possible(settings, subject) for settings in track(figures, len(figures), "figures")
    ]
    return [path for path in drawn if path]


def _find_figures(names: Sequence[str], subject: Subject) -> list[PartSettings]:
    """Return the settings of the named figures: the experiment's if it lists them, else defaults.

    Raises:
        UserError: a figure does not exist.
    """
    known = parts.list_names("figures")
    unknown = [name for name in names if name not in known]
    if unknown:
        lines = [
            f"unknown figure '{name}'; allowed: {', '.join(known)}{parts.suggest(name, known)}"
            for name in unknown
        ]
        raise UserError("\n".join(lines))
    own = {settings.name: settings for settings in subject.experiment.figures}
    return [
        own[name] if name in own else parts.make_default_settings("figures", name)
        for name in dict.fromkeys(names)
    ]


def _draw(settings: PartSettings, subject: Subject) -> Path:
    path = subject.run.figure_file(settings.name)
    with _style.apply_style():
        _style.save_figure(parts.load_for("figures", settings).draw(settings, subject), path)
    return path


def _draw_if_possible(settings: PartSettings, subject: Subject) -> Path | None:
    try:
        return _draw(settings, subject)
    except (NotDrawableError, DataError) as error:
        note(f"no {settings.name}: {error}")
        return None


def _note_missing_glyphs(subject: Subject) -> None:
    """Print a note if no font has some characters of the class names."""
    if os.path.lexists(subject.run.data_file) and (
        missing := _style.find_missing_glyphs(subject.classes)
    ):
        note(
            f"no installed font has the characters {format_some(missing, 20)} of the class names;"
            " install one, such as Noto Sans CJK, and plot again"
        )
