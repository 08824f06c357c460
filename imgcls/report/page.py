"""report.html: one self-contained page of a run, with its metrics, figures, log and configuration.
Light zone.
"""

import os

from imgcls import parts
from imgcls.config import Experiment
from imgcls.datasets import SPLITS
from imgcls.errors import DataError
from imgcls.figures import NotDrawableError, Subject
from imgcls.io import files, terminal
from imgcls.report import html
from imgcls.result_folder import ResultFolder


def write_page(subject: Subject) -> None:
    """Write a run's report page from the files that its folder holds now.

    Raises:
        UserError: the file cannot be written.
    """
    name, configuration = (
        subject.experiment.name,
        subject.run.config_file.read_text(encoding="utf-8"),
    )
    sections = [
        _render_overview(subject),
        *([_render_compression(subject)] if subject.run.is_compressed else []),
        *[
            render_evaluation(subject.run, split)
            for split in SPLITS
            if os.path.lexists(subject.run.metrics_file(split))
        ],
        _render_figures(subject),
        _render_log(subject),
        html.render_folded(
            "Configuration, with every default", f"<pre>{html.escape_text(configuration)}</pre>"
        ),
    ]
    files.write_text(subject.run.report_page, html.make_page(name, sections))


def _render_overview(subject: Subject) -> str:
    """Say what was trained, how far, and on what."""
    run = subject.run
    facts = {
        "run": str(run.folder),
        **{
            html.to_words(key): str(value)
            for key, value in run.status.model_dump().items()
            if value not in ("", None, [])
        },
    }
    if os.path.lexists(run.data_file):
        data = subject.data
        sizes = ", ".join(f"{data.sizes[split]:,} {split}" for split in SPLITS)
        facts["data"] = (
            f"{data.dataset}, {len(data.classes)} classes,"
            f" {'x'.join(map(str, data.shape))}; images: {sizes}"
        )
        facts["fingerprint"] = data.fingerprint
    return html.render_pairs(facts)


def _render_compression(subject: Subject) -> str:
    """Say what the run was compressed from, and how the two differ."""
    made = subject.run.compression
    assert made is not None  # the caller checked it
    lines = [
        "<h2>Compression</h2>",
        html.render_paragraph(f"compressed from {made.original} by {made.describe()}"),
    ]
    try:
        table = subject.compression_table
    except (NotDrawableError, DataError) as error:
        terminal.note(f"the page has no table of the compression: {error}")
        return "\n".join([*lines, html.render_paragraph(str(error))])
    lines += map(html.render_table, table.make_tables())
    lines += [html.render_paragraph(f"warning: {each}") for each in table.list_warnings()]
    return "\n".join(lines)


def render_evaluation(folder: ResultFolder, split: str) -> str:
    """Return a split's numbers and tables, whatever metrics were computed."""
    evaluation = folder.read_evaluation(split)
    absent = evaluation.classes_absent
    intervals = evaluation.describe_intervals()
    facts = [f"{evaluation.examples:,} images", *([intervals] if intervals else [])]
    lines = [f"<h2>Metrics, {split} split</h2>", f"<p>{'; '.join(facts)}</p>"]
    if absent:
        names = ", ".join(absent)
        lines.append(html.render_paragraph(f"Classes without an image in this split: {names}"))
    lines.append(html.render_table(evaluation.make_metric_rows()))
    if title := evaluation.describe_tta():
        lines.append(html.render_folded(title, html.render_table(evaluation.make_tta_rows())))
    if evaluation.per_class:
        lines.append(
            html.render_folded("Each class", html.render_table(evaluation.make_class_rows()))
        )
    lines += [
        html.render_folded(html.to_words(name), html.render_table(rows))
        for name, rows in evaluation.tables.items()
        if rows
    ]
    return "\n".join(lines)


def _render_log(subject: Subject) -> str:
    """Return the epochs as a table; without it, the page still shows what was evaluated."""
    try:
        log = subject.run.log
    except DataError as error:
        terminal.note(f"the page has no log: {error}")
        return html.render_paragraph(str(error))
    rows = [epoch.model_dump() for epoch in log]
    return html.render_folded(f"Log: {len(rows)} epochs", html.render_table(rows))


def _render_figures(subject: Subject) -> str:
    """Return every picture that the run has, those that the experiment lists first."""
    names = list_figures(subject.run, subject.experiment)
    return "<h2>Figures</h2>\n" + "\n".join(render_figure(subject.run, name) for name in names)


def list_figures(folder: ResultFolder, experiment: Experiment) -> list[str]:
    """Return the names of the figures in a folder, those that the experiment lists first."""
    names = dict.fromkeys(
        [*[settings.name for settings in experiment.figures], *parts.list_names("figures")]
    )
    return [name for name in names if folder.figure_file(name).is_file()]


def render_figure(folder: ResultFolder, name: str) -> str:
    """Return the picture of a figure, with its caption."""
    picture = folder.figure_file(name).read_bytes()
    return html.render_figure(name, picture, parts.summarize(parts.load("figures", name)))
