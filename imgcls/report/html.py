"""Building blocks of self-contained HTML pages: texts, tables, pictures. Light zone.

No script, no link to elsewhere: a page opens from a mail attachment, on a phone, and in ten years.
Every text is escaped.
"""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from imgcls.figures import _style
from imgcls.report.tables import format_cell, is_text

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


def make_page(title: str, sections: Sequence[str]) -> str:
    """Return a page, with its title as the heading.

    Args:
        sections: HTML.
    """
    head = (
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width,'
        f' initial-scale=1">\n<title>{escape_text(title)}</title>'
    )
    body = "\n".join([f"<h1>{escape_text(title)}</h1>", *sections])
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n<style>{STYLE_SHEET}</style>\n'
        f"</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def render_pairs(values: Mapping[str, str]) -> str:
    """Return names and values as a list of definitions."""
    pairs = (
        f"<dt>{escape_text(name)}</dt><dd>{escape_text(value)}</dd>"
        for name, value in values.items()
    )
    return f"<dl>{''.join(pairs)}</dl>"


def render_paragraph(text: str) -> str:
    """Return a text as a paragraph."""
    return f"<p>{escape_text(text)}</p>"


def render_folded(title: str, content: str) -> str:
    """Return HTML that is shown once its title is clicked."""
    return f"<details>\n<summary>{escape_text(title)}</summary>\n{content}\n</details>"


def render_figure(name: str, picture: bytes, caption: str) -> str:
    """Return a PNG picture with its caption.

    Args:
        name: the anchor.
    """
    encoded, text = base64.b64encode(picture).decode(), escape_text(caption)
    image = f'<div class="scroll"><img alt="{text}" src="data:image/png;base64,{encoded}"></div>'
    return f'<figure id="{name}">\n{image}\n<figcaption>{text}</figcaption>\n</figure>'


def render_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of the same keys as a table; numbers are right-aligned."""
    if not rows:
        return "<p>none</p>"
    alignments = {
        key: "" if is_text([row[key] for row in rows]) else ' class="number"' for key in rows[0]
    }
    heads = "".join(
        f"<th{alignment}>{escape_text(to_words(key))}</th>" for key, alignment in alignments.items()
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
    return escape_text(value if isinstance(value, str) else format_cell(value))


def to_words(name: str) -> str:
    """Return the name of a value as words: `macro f1` of `macro_f1`."""
    return name.replace("_", " ")


def escape_text(text: str) -> str:
    """Escape a text for HTML, in an attribute too; what UTF-8 cannot hold becomes a question
    mark.
    """
    return escape(_style.replace_surrogates(text), quote=True)
