"""The verb `plot`: draws the figures and the page of a run or a family. Light zone."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.config import Experiment
from imgcls.errors import DataError, UserError
from imgcls.evaluation import families
from imgcls.family import Family
from imgcls.figures import DoesNotApplyError, NotDrawableError, Subject, _families, _style
from imgcls.figures._pooled import PooledSubject
from imgcls.io.terminal import note, track
from imgcls.parts import PartSettings
from imgcls.report import family_page, family_text, page
from imgcls.result_folder import ResultFolder
from imgcls.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot(
    run_or_family: Run | Family, experiment: Experiment | None = None, names: Sequence[str] = ()
) -> list[Path]:
    """Draw figures as PNG and SVG files, and write report.html with all figures of the run or
    family.

    Of a family, the figures of each run are drawn, then those of the family: curves and the spread
    of the metrics, and if its runs differ in the fold, the same figures of the pooled predictions.

    Args:
        experiment: None for that of the run; figures, metrics and `data.store_dir` may differ.
        names: of the figures to draw. By default those of the experiment; figures whose data is
            missing, such as an evaluation, are then left out with a note.

    Returns:
        The PNG files, beside each of which is an SVG file; the report page is the last.

    Raises:
        UserError: a name is unknown, a named figure cannot be drawn, or a file cannot be written.
        DataError: a named figure shows images, and their store is missing or changed.
    """
    experiment = experiment or run_or_family.experiment
    if isinstance(run_or_family, Family):
        return _plot_family(run_or_family, experiment, names)
    return _plot_run(Subject(run_or_family, experiment), names)


def _plot_run(subject: Subject, names: Sequence[str]) -> list[Path]:
    run = subject.run
    figures = subject.experiment.figures
    written = _draw_named(names, subject) if names else _draw_possible(figures, subject, run)
    if os.path.lexists(run.data_file):
        _style.note_missing_glyphs(subject.classes)
    page.write_page(subject)
    return [*written, run.report_page]


def _plot_family(family: Family, experiment: Experiment, names: Sequence[str]) -> list[Path]:
    subjects = [Subject(run, own) for run, own in family.pair_runs(experiment)]
    written = [path for subject in subjects for path in _plot_run(subject, names)]
    written += _draw_family(family, experiment)
    if os.path.lexists(family.predictions_file("test")):
        pooled = PooledSubject(family, experiment)
        figures = _find_figures(names, pooled) if names else experiment.figures
        written += _draw_possible(figures, pooled, family)
    family_page.write_page(family)
    return [*written, family.report_page]


def _draw_family(family: Family, experiment: Experiment) -> list[Path]:
    """Draw the curves of all runs, and the spread of their metrics on the test or another split."""
    summary = families.summarize_training(family, None)
    names = [run.folder.name for run in family.runs]
    selected = {name: run.selected_epoch for name, run in zip(names, summary.runs, strict=True)}
    logs = {run.folder.name: run.log for run in family.runs}
    evaluated = families.list_evaluated_splits(family)
    with _style.apply_style():
        path = _save(_families.draw_curves(logs, selected), "learning_curves", family)
        if not evaluated:
            note(f"no spread: run `imgcls eval {family.folder}` first")
            return [path]
        found = families.read_evaluation(family, evaluated[-1])
        shown = families.select_first_scalars(found, experiment)
        if not shown:
            note(f"no spread: {family.folder} was evaluated without the metrics of its experiment")
            return [path]
        title = f"{evaluated[-1]} split, {family_text.describe_spread(shown)} of {len(names)} runs"
        return [path, _save(_families.draw_spread(shown, names, title), "spread", family)]


def _draw_named(names: Sequence[str], subject: Subject) -> list[Path]:
    return [_draw(settings, subject, subject.run) for settings in _find_figures(names, subject)]


def _draw_possible(
    figures: Sequence[PartSettings], subject: Subject, folder: ResultFolder
) -> list[Path]:
    drawn = [
        _draw_if_possible(settings, subject, folder)
        for settings in track(figures, len(figures), "figures")
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


def _draw(settings: PartSettings, subject: Subject, folder: ResultFolder) -> Path:
    with _style.apply_style():
        figure = parts.load_for("figures", settings).draw(settings, subject)
        return _save(figure, settings.name, folder)


def _save(figure: "Figure", name: str, folder: ResultFolder) -> Path:
    """Write a figure as PNG and SVG; return the path of the PNG file."""
    for suffix in ("svg", "png"):
        _style.save_figure(figure, folder.figure_file(name, suffix))
    return folder.figure_file(name)


def _draw_if_possible(
    settings: PartSettings, subject: Subject, folder: ResultFolder
) -> Path | None:
    try:
        return _draw(settings, subject, folder)
    except DoesNotApplyError:
        return None
    except (NotDrawableError, DataError) as error:
        note(f"no {settings.name}: {error}")
        return None
