"""The report of a comparison as plain text. Light zone."""

import textwrap

from imgcls.comparison import sentences, tables
from imgcls.comparison.record import Comparison, PairComparison
from imgcls.io.terminal import to_printable
from imgcls.report.tables import WIDTH, format_pairs, format_table

SHOWN_CLASSES = 10
"""How many classes are shown of those that gained, and of those that lost."""


def format_report(comparison: Comparison) -> str:
    """Return the report: what may be concluded, then the numbers, then what differs."""
    sections = [_format_header(comparison)]
    for label, pair in zip(comparison.labels[1:], comparison.comparisons, strict=True):
        title = f"{label}: {to_printable(pair.new)}\n" if len(comparison.comparisons) > 1 else ""
        sections += [title + _wrap(pair.sentence), *_format_pair(comparison, pair)]
    sections.append(format_table(tables.make_property_rows(comparison)))
    for title, found in tables.list_differences(comparison).items():
        table = format_table(tables.make_difference_rows(comparison, found or []))
        empty = f"{title}: {'not compared' if found is None else 'no difference'}"
        sections.append(f"{title}: what differs\n\n{table}" if table else empty)
    return "\n\n".join(filter(None, sections)) + "\n"


def _format_header(comparison: Comparison) -> str:
    lines = [
        f"comparison on the {comparison.split} split, {comparison.examples:,} images",
        format_pairs(tables.list_folders(comparison)),
    ]
    return "\n".join([*lines, *map(_wrap, sentences.list_cautions(comparison))])


def _format_pair(comparison: Comparison, pair: PairComparison) -> list[str]:
    return [
        format_table(tables.make_metric_rows(pair)),
        _wrap(sentences.describe_intervals(comparison)),
        *_format_spread(comparison, pair),
        _wrap(sentences.describe_agreement(pair.agreement)) if pair.agreement else "",
        _wrap(sentences.describe_accuracies(comparison, pair)),
        *_format_classes(pair),
    ]


def _format_spread(comparison: Comparison, pair: PairComparison) -> list[str]:
    rows = tables.make_spread_rows(comparison, pair)
    return [format_table(rows), _wrap(sentences.describe_spread(comparison, pair))] if rows else []


def _format_classes(pair: PairComparison) -> list[str]:
    """Return the classes that changed, without the middle of a long list."""
    rows = tables.make_class_rows(pair)
    title = sentences.describe_classes(pair)
    if len(rows) > 2 * SHOWN_CLASSES:
        title += f"; the first and the last {SHOWN_CLASSES} of {len(rows):,}"
        rows = [*rows[:SHOWN_CLASSES], *rows[-SHOWN_CLASSES:]]
    return [format_table(rows), _wrap(title)] if rows else []


def _wrap(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)
