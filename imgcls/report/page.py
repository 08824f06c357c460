"""report.html: one self-contained page of a run, with its metrics, figures, log and configuration.
Light zone.
"""

import os
from collections.abc import Mapping, Sequence

from imgcls import parts
from imgcls.compression.record import read_compression
from imgcls.config import Experiment
from imgcls.datasets import SPLITS
from imgcls.errors import DataError
from imgcls.evaluation.robustness_record import CAVEAT, Robustness
from imgcls.figures import NotDrawableError, Subject
from imgcls.io import files, terminal
from imgcls.report import headline, html, provenance, robustness_text
from imgcls.report.hover_map import render_hover_map
from imgcls.report.html import Chapter
from imgcls.report.pictures import read_pictures
from imgcls.report.tables import format_cell
from imgcls.result_folder import ResultFolder

FIRST = ("confusion_matrix", "learning_curves")
"""The figures that stand before the rest."""
MOST_EPOCHS = 500
"""Epochs in the table of the log, at most; of more, every k-th is shown."""


def write_page(subject: Subject) -> None:
    """Write a run's report page from the files that its folder holds now.

    Raises:
        UserError: the file cannot be written.
    """
    run = subject.run
    names = list_figures(run, subject.experiment)
    pictures = read_pictures({name: run.figure_file(name) for name in names})
    first = [name for name in FIRST if name in pictures]
    rest = [name for name in names if name not in first]
    hover = render_hover_map(subject) if "embedding_map" in pictures else ""
    configuration = run.config_file.read_text(encoding="utf-8")
    sections: list[str | Chapter] = [
        html.render_cards(headline.make_headline(subject)),
        _render_overview(subject),
        *([Chapter("At a glance", _render_figures(pictures, first))] if first else []),
        *([_render_compression(subject)] if run.is_compressed else []),
        *[
            render_evaluation(run, split)
            for split in reversed(SPLITS)
            if os.path.lexists(run.metrics_file(split))
        ],
        *[
            _render_robustness(found)
            for split in SPLITS
            if (found := subject.find_robustness(split))
        ],
        *([Chapter("Figures", _render_figures(pictures, rest) + hover)] if rest or hover else []),
        Chapter("Log", _render_log(subject)),
        Chapter("Audit of the data", provenance.render_audit(subject)),
        render_configuration(configuration),
        Chapter("Environment", provenance.render_environment(subject)),
    ]
    files.write_text(run.report_page, html.make_page(subject.experiment.name, sections))


def render_configuration(configuration: str) -> Chapter:
    """Return an experiment as YAML."""
    text = f"<pre>{html.escape_text(configuration)}</pre>"
    return Chapter("Configuration", html.render_folded("All settings, with every default", text))


def _render_overview(subject: Subject) -> str:
    """Say what was trained, how far, and on what."""
    run = subject.run
    status = html.flatten(run.status.model_dump(exclude={"format"}))
    facts = {
        "run": str(run.folder),
        **{
            html.to_words(key): format_cell(value)
            for key, value in status.items()
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


def _render_robustness(found: Robustness) -> Chapter:
    """Return the numbers under corruptions."""
    lines = [
        html.render_paragraph(robustness_text.describe_images(found)),
        html.render_table(robustness_text.make_summary_rows(found)),
        html.render_paragraph(CAVEAT),
        *[
            html.render_folded(title, html.render_table(found.make_rows(field)))
            for field, title in robustness_text.FIELDS.items()
        ],
    ]
    return Chapter(f"Corruptions, {found.split} split", "\n".join(lines))


def _render_compression(subject: Subject) -> Chapter:
    """Say what the run was compressed from, and how the two differ."""
    made = read_compression(subject.run.compression_file)
    lines = [
        html.render_paragraph(f"compressed from {made.original} by {made.describe()}"),
    ]
    try:
        table = subject.compression_table
    except (NotDrawableError, DataError) as error:
        terminal.note(f"the page has no table of the compression: {error}")
        return Chapter("Compression", "\n".join([*lines, html.render_paragraph(str(error))]))
    lines += map(html.render_table, table.make_tables())
    lines += [html.render_paragraph(f"warning: {each}") for each in table.list_warnings()]
    return Chapter("Compression", "\n".join(lines))


def render_evaluation(folder: ResultFolder, split: str) -> Chapter:
    """Return a split's numbers and tables, whatever metrics were computed."""
    evaluation = folder.read_evaluation(split)
    absent = evaluation.classes_absent
    intervals = evaluation.describe_intervals()
    facts = [f"{evaluation.examples:,} images", *([intervals] if intervals else [])]
    lines = [html.render_paragraph("; ".join(facts))]
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
    return Chapter(f"Metrics, {split} split", "\n".join(lines))


def _render_log(subject: Subject) -> str:
    """Return the epochs as a table; without it, the page still shows what was evaluated."""
    try:
        log = subject.run.log
    except DataError as error:
        terminal.note(f"the page has no log: {error}")
        return html.render_paragraph(str(error))
    stride = -(-len(log) // MOST_EPOCHS) or 1
    rows = [html.flatten(epoch.model_dump()) for epoch in log[::stride]]
    few = f", {len(rows)} of them shown" if stride > 1 else ""
    return html.render_folded(f"Log: {len(log)} epochs{few}", html.render_table(rows))


def _render_figures(pictures: Mapping[str, bytes], names: Sequence[str]) -> str:
    """Return some pictures."""
    return "\n".join(render_figure(name, pictures[name]) for name in names)


def list_figures(folder: ResultFolder, experiment: Experiment) -> list[str]:
    """Return the names of the figures in a folder, those that the experiment lists first."""
    names = dict.fromkeys(
        [*[settings.name for settings in experiment.figures], *parts.list_names("figures")]
    )
    return [name for name in names if folder.figure_file(name).is_file()]


def render_figure(name: str, picture: bytes) -> str:
    """Return the picture of a figure, with its caption, and how to read it."""
    module = parts.load("figures", name)
    return html.render_figure(name, picture, parts.summarize(module), module.HOW_TO_READ)
