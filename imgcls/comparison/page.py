"""comparison.html: a self-contained page of a comparison; its figures as PNG files. Light zone."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.comparison import drawings, gallery, sentences, tables
from imgcls.comparison.candidate import PredictedCandidate
from imgcls.comparison.record import Comparison, PairComparison
from imgcls.errors import DataError
from imgcls.figures import _style
from imgcls.io import files, terminal
from imgcls.report import html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CAPTIONS = {
    "differences": "The differences with their confidence intervals over images: gray where"
    " none is shown, blue for gains, orange for losses. A thin line below is the interval over the"
    " runs of families.",
    "classes": "Images that became right, or wrong, with the other model.",
    "gallery": "Images on which the models disagree most, with the most probable class of each and"
    " its probability; of a family by seed, the mean over its runs.",
    "curves": "Loss and accuracy over the epochs; of a family, each run and the mean.",
}
"""The figures, each with its caption."""


def write_page(
    comparison: Comparison, predicted: Sequence[PredictedCandidate], folder: Path
) -> None:
    """Write the figures and the page.

    Args:
        predicted: the candidates of the comparison, in its order.

    Raises:
        UserError: a file cannot be written.
    """
    _style.note_missing_glyphs(predicted[0].replicates[0].classes)
    labels = comparison.labels
    with _style.apply_style():
        sections = [
            _render_overview(comparison),
            *[
                _render_pair(comparison, pair, predicted[0], new, label, folder)
                for pair, new, label in zip(
                    comparison.comparisons, predicted[1:], labels[1:], strict=True
                )
            ],
            "<h2>Training and models</h2>",
            _render_curves(dict(zip(labels, predicted, strict=True)), folder),
            html.render_table(tables.make_property_rows(comparison)),
            _render_provenance(comparison),
        ]
    files.write_text(folder / "comparison.html", html.make_page("Comparison", sections))


def _render_overview(comparison: Comparison) -> str:
    facts = {
        **tables.list_folders(comparison),
        "images": f"{comparison.examples:,}, {comparison.split} split",
        "intervals": sentences.describe_intervals(comparison),
    }
    cautions = [html.render_paragraph(each) for each in sentences.list_cautions(comparison)]
    gates = [html.render_paragraph(f"Gate failed: {each}") for each in comparison.failed_gates]
    return "\n".join([html.render_pairs(facts), *cautions, *gates])


def _render_pair(
    comparison: Comparison,
    pair: PairComparison,
    old: PredictedCandidate,
    new: PredictedCandidate,
    label: str,
    folder: Path,
) -> str:
    """Return what may be concluded, the numbers, and the images of one new candidate.

    Args:
        label: of the new candidate, such as `new_2`.
    """
    suffix = label.removeprefix("new")
    figure = drawings.draw_differences(pair.metrics)
    spread = tables.make_spread_rows(comparison, pair)
    lines = [
        f"<h2>{html.escape_text(html.to_words(label))}: {html.escape_text(pair.new)}</h2>",
        f"<p><strong>{html.escape_text(pair.sentence)}</strong></p>",
        _save(figure, "differences", suffix, folder),
        html.render_table(tables.make_metric_rows(pair)),
    ]
    if spread:
        lines += [
            html.render_paragraph(sentences.describe_spread(comparison, pair)),
            html.render_table(spread),
        ]
    if pair.agreement:
        lines.append(html.render_paragraph(sentences.describe_agreement(pair.agreement)))
    lines.append(html.render_paragraph(sentences.describe_accuracies(comparison, pair)))
    if rows := tables.make_class_rows(pair):
        lines += [
            "<h3>Classes</h3>",
            _save(drawings.draw_classes(pair.classes), "classes", suffix, folder),
            html.render_folded(sentences.describe_classes(pair), html.render_table(rows)),
            "<h3>Images</h3>",
            _render_gallery(comparison, old, new, suffix, folder),
        ]
    return "\n".join(lines)


def _render_gallery(
    comparison: Comparison,
    old: PredictedCandidate,
    new: PredictedCandidate,
    suffix: str,
    folder: Path,
) -> str:
    """Return the gallery; without the store, a sentence that says so."""
    right, wrong = gallery.find_disagreements(old, new)
    indices = [each.index for each in [*right, *wrong]]
    try:
        images = gallery.read_images(old, comparison.split, indices)
    except DataError as error:
        terminal.note(f"the page shows no images: {error}")
        return html.render_paragraph(f"No images are shown: {error}")
    return _save(gallery.draw_gallery(right, wrong, images), "gallery", suffix, folder)


def _render_curves(predicted: dict[str, PredictedCandidate], folder: Path) -> str:
    candidates = {label: each.candidate for label, each in predicted.items()}
    return _save(drawings.draw_curves(candidates), "curves", "", folder)


def _render_provenance(comparison: Comparison) -> str:
    lines = []
    for title, found in tables.list_differences(comparison).items():
        rows = tables.make_difference_rows(comparison, found or [])
        empty = "Not compared." if found is None else "No difference."
        lines.append(f"<h2>What differs in {title}</h2>")
        lines.append(html.render_table(rows) if rows else html.render_paragraph(empty))
    return "\n".join(lines)


def _save(figure: "Figure", name: str, suffix: str, folder: Path) -> str:
    """Write a figure as a PNG file, and return it as HTML."""
    path = folder / f"{name}{suffix}.png"
    _style.save_figure(figure, path)
    return html.render_figure(path.stem, path.read_bytes(), CAPTIONS[name])
