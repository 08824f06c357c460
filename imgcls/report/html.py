"""Building blocks of self-contained HTML pages: texts, tables, pictures. Light zone.

No link to elsewhere, and no script but the one that sorts tables: a page opens from a mail
attachment, on a phone, and in ten years. Its policy (Content-Security-Policy) forbids anything
else, whatever got into its text. Every text is escaped.
"""

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any
from urllib.parse import quote

from imgcls.figures import _style
from imgcls.report.page_style import SCRIPT, STYLE_SHEET
from imgcls.report.tables import format_cell, is_text


@dataclass(frozen=True)
class Chapter:
    """A part of a page that the list of contents names; `content` is HTML."""

    title: str
    content: str

    @property
    def anchor(self) -> str:
        """What links to the chapter end in."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")

    def render(self) -> str:
        """Return the chapter as HTML."""
        head = f"<h2>{escape_text(self.title)}</h2>"
        return f'<section id="{self.anchor}">\n{head}\n{self.content}\n</section>'


def make_page(title: str, sections: Sequence[str | Chapter]) -> str:
    """Return a page, with its title as the heading.

    Args:
        sections: HTML; before the first chapter stands a list of all chapters.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline';"
        f" script-src 'sha256-{digest}'"
    )
    head = (
        f'<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape_text(title)}</title>"
    )
    chapters = [each for each in sections if isinstance(each, Chapter)]
    body = [f"<h1>{escape_text(title)}</h1>"]
    for each in sections:
        if chapters and each is chapters[0]:
            body.append(_render_contents(chapters))
        body.append(each.render() if isinstance(each, Chapter) else each)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n<style>{STYLE_SHEET}</style>\n'
        f"</head>\n<body>\n{chr(10).join(body)}\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _render_contents(chapters: Sequence[Chapter]) -> str:
    links = (
        f'<li><a href="#{each.anchor}">{escape_text(each.title)}</a></li>' for each in chapters
    )
    return f'<nav aria-label="Contents">\n<ul>\n{chr(10).join(links)}\n</ul>\n</nav>'


def render_cards(values: Mapping[str, tuple[str, str]]) -> str:
    """Return headline numbers.

    Args:
        values: a value and what is added in small letters, by name.
    """
    cards = (
        f"<div><dt>{escape_text(name)}</dt><dd>{escape_text(value)}"
        f"<small>{escape_text(note)}</small></dd></div>"
        for name, (value, note) in values.items()
    )
    return f'<dl class="cards">{"".join(cards)}</dl>'


def render_pairs(values: Mapping[str, str]) -> str:
    """Return names and values as a list of definitions."""
    pairs = (
        f"<dt>{escape_text(name)}</dt><dd>{escape_text(value)}</dd>"
        for name, value in values.items()
    )
    return f'<dl class="pairs">{"".join(pairs)}</dl>'


def render_paragraph(text: str) -> str:
    """Return a text as a paragraph."""
    return f"<p>{escape_text(text)}</p>"


def render_folded(title: str, content: str) -> str:
    """Return HTML that is shown once its title is clicked."""
    return f"<details>\n<summary>{escape_text(title)}</summary>\n{content}\n</details>"


def render_figure(name: str, picture: bytes, caption: str, how_to_read: str = "") -> str:
    """Return a PNG picture with its caption.

    Args:
        name: the anchor.
        how_to_read: follows the caption.
    """
    encoded, text = base64.b64encode(picture).decode(), escape_text(caption)
    image = f'<div class="scroll"><img alt="{text}" src="data:image/png;base64,{encoded}"></div>'
    below = escape_text(f"{caption} {how_to_read}".strip())
    return f'<figure id="{name}">\n{image}\n<figcaption>{below}</figcaption>\n</figure>'


def render_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows of the same keys as a table; numbers are right-aligned."""
    if not rows:
        return "<p>none</p>"
    alignments = {
        key: "" if _is_text([row[key] for row in rows]) else ' class="number"' for key in rows[0]
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


def _is_text(values: Sequence[Any]) -> bool:
    return is_text(values) or any(isinstance(value, Link) for value in values)


@dataclass(frozen=True)
class Link:
    """A text of a cell that leads to a file; `target` is relative to the page."""

    text: str
    target: str


def _format_cell(value: Any) -> str:
    if isinstance(value, Link):
        return f'<a href="{escape_text(quote(value.target))}">{escape_text(value.text)}</a>'
    return escape_text(value if isinstance(value, str) else format_cell(value))


def flatten(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with the values of inner mappings in columns of their own, such as
    `stage_seconds steps`; a list of mappings becomes their number.
    """
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name} {key}": inner for key, inner in flatten(value).items()}
        elif isinstance(value, list) and any(isinstance(each, Mapping) for each in value):
            flat[name] = len(value)
        else:
            flat[name] = value
    return flat


def to_words(name: str) -> str:
    """Return the name of a value as words: `macro f1` of `macro_f1`."""
    return name.replace("_", " ")


def escape_text(text: str) -> str:
    """Escape a text for HTML, in an attribute too; what UTF-8 cannot hold becomes a question
    mark.
    """
    return escape(_style.replace_surrogates(text), quote=True)
