"""report.html: one self-contained page of a run, with its metrics, figures, log and configuration.
Light zone.

No script, no link to elsewhere: it opens from a mail attachment, on a phone, and in ten years.
Everything that comes from a run is escaped.
"""

import base64
import os
from html import escape
from typing import Any

from imgcls import parts
from imgcls.datasets import SPLITS
from imgcls.errors import DataError
from imgcls.figures import Subject, _style
from imgcls.io import files, terminal
from imgcls.report.tables import format_cell, is_text

Rows = list[dict[str, Any]]

STYLE_SHEET = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
  max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1, h2, h3 { line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #ccc; }
p, dd, figcaption { overflow-wrap: anywhere; }
figure { margin: 1.5rem 0; break-inside: avoid; }
figure img { max-width: 100%; min-width: 34rem; height: auto; }
figcaption { color: #555; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #eee; }
th { color: #555; font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
pre { font-size: .8125rem; overflow-x: auto; background: #f5f5f5; padding: .75rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: #555; }
dd { margin: 0; }
summary { cursor: pointer; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .scroll, pre { overflow: visible; white-space: pre-wrap; }
  figure img { min-width: 0; max-height: 23cm; }
}
"""


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
        f"<h1>{_escape(name)}</h1>",
        _render_overview(subject),
        *[
            _render_evaluation(subject, split)
            for split in SPLITS
            if os.path.lexists(subject.run.metrics_file(split))
        ],
        _render_figures(subject),
        _render_log(subject),
        _render_folded("Configuration, with every default", f"<pre>{_escape(configuration)}</pre>"),
    ]
    head = (
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width,'
        f' initial-scale=1">\n<title>{_escape(name)}</title>'
    )
    body = "\n".join(sections)
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n<style>{STYLE_SHEET}</style>\n'
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
    files.write_text(subject.run.report_page, page)


def _render_overview(subject: Subject) -> str:
    """Say what was trained, how far, and on what."""
    run = subject.run
    facts = {
        "run": str(run.folder),
        **{
            _to_words(key): str(value)
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
    return (
        "<dl>"
        + "".join(
            f"<dt>{_escape(key)}</dt><dd>{_escape(value)}</dd>" for key, value in facts.items()
        )
        + "</dl>"
    )


def _render_evaluation(subject: Subject, split: str) -> str:
    """Return a split's numbers and tables, whatever metrics were computed."""
    evaluation = subject.run.read_evaluation(split)
    absent = evaluation.classes_absent
    intervals = evaluation.describe_intervals()
    facts = [f"{evaluation.examples:,} images", *([intervals] if intervals else [])]
    lines = [f"<h2>Metrics, {split} split</h2>", f"<p>{'; '.join(facts)}</p>"]
    if absent:
        lines.append(f"<p>Classes without an image in this split: {_escape(', '.join(absent))}</p>")
    lines.append(_render_table(evaluation.make_metric_rows()))
    if evaluation.per_class:
        lines.append(_render_folded("Each class", _render_table(evaluation.make_class_rows())))
    lines += [
        _render_folded(_to_words(name), _render_table(rows))
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
        return f"<p>{_escape(str(error))}</p>"
    rows = [epoch.model_dump() for epoch in log]
    return _render_folded(f"Log: {len(rows)} epochs", _render_table(rows))


def _render_figures(subject: Subject) -> str:
    """Return every picture that the run has, those that the experiment lists first."""
    names = dict.fromkeys(
        [*[settings.name for settings in subject.experiment.figures], *parts.list_names("figures")]
    )
    return "<h2>Figures</h2>\n" + "\n".join(
        _render_figure(subject, name) for name in names if subject.run.figure_file(name).is_file()
    )


def _render_figure(subject: Subject, name: str) -> str:
    picture = base64.b64encode(subject.run.figure_file(name).read_bytes()).decode()
    caption = _escape(parts.summarize(parts.load("figures", name)))
    image = f'<div class="scroll"><img alt="{caption}" src="data:image/png;base64,{picture}"></div>'
    return f'<figure id="{name}">\n{image}\n<figcaption>{caption}</figcaption>\n</figure>'


def _render_folded(title: str, content: str) -> str:
    return f"<details>\n<summary>{_escape(title)}</summary>\n{content}\n</details>"


def _render_table(rows: Rows) -> str:
    """Return rows of the same keys as a table; numbers are right-aligned."""
    if not rows:
        return "<p>none</p>"
    alignments = {
        key: "" if is_text([row[key] for row in rows]) else ' class="number"' for key in rows[0]
    }
    heads = "".join(
        f"<th{alignment}>{_escape(_to_words(key))}</th>" for key, alignment in alignments.items()
    )
    lines = [
        "".join(f"<td{alignments[key]}>{_format_cell(value)}</td>" for key, value in row.items())
        for row in rows
    ]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _format_cell(value: Any) -> str:
    return _escape(value if isinstance(value, str) else format_cell(value))


def _to_words(name: str) -> str:
    return name.replace("_", " ")


def _escape(value: str) -> str:
    """Escape a text for HTML, in an attribute too; what UTF-8 cannot hold becomes a question
    mark.
    """
    return escape(_style.replace_surrogates(value), quote=True)
