"""study.html: a self-contained page of a search; its figures as PNG files. Light zone."""

from pathlib import Path

from imgcls.figures import _style
from imgcls.io import files
from imgcls.report import html
from imgcls.report.tables import format_cell
from imgcls.tuning import drawings, text_report
from imgcls.tuning.folder import StudyFolder
from imgcls.tuning.record import StudyRecord

CAPTIONS = {
    "history": "The value of each trial; a line for the best so far. Marks at the lower edge are"
    " trials that were pruned, or failed.",
    "pareto": "The two objectives. No trial is better in both than one of the front, whose numbers"
    " are given.",
    "importances": "How much of the difference between good trials and others is due to each key,"
    " by PED-ANOVA (Watanabe et al., 2023).",
    "slices": "The value over each key; later trials are darker.",
    "parallel_coordinates": "A line for each trial through its values; a gap where a condition"
    " excludes a key.",
}
"""The figures, each with its caption."""


def write_page(record: StudyRecord) -> None:
    """Write the figures and the page.

    Raises:
        UserError: a file cannot be written.
    """
    folder = StudyFolder(Path(record.study))
    facts = {name: format_cell(value) for name, value in text_report.list_facts(record).items()}
    sections = [
        html.render_pairs(facts),
        html.render_paragraph(text_report.describe_choice(record)),
    ]
    if record.confirmation:
        text = text_report.describe_confirmation(record)
        sections.append(f"<p><strong>{html.escape_text(text)}</strong></p>")
    with _style.apply_style():
        for name, draw in drawings.list_figures(record).items():
            path = folder.figure_file(name)
            _style.save_figure(draw(record), path)
            sections.append(html.render_figure(name, path.read_bytes(), CAPTIONS[name]))
    sections += ["<h2>Trials</h2>", html.render_table(text_report.make_rows(record))]
    sections += map(html.render_paragraph, text_report.list_failures(record))
    files.write_text(folder.page, html.make_page(f"Search of {record.experiment}", sections))
