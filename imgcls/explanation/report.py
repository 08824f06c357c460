"""The report of `imgcls explain` as text. Light zone."""

import textwrap

from imgcls.explanation.record import Explanation, Importance, MethodScores
from imgcls.explanation.sentences import get_title
from imgcls.io.terminal import to_printable
from imgcls.report.tables import WIDTH, format_table

MOST_IMAGES = 20
"""Rows of the table of images, at most."""


def format_report(found: Explanation) -> str:
    """Return what was explained: images, scores of each method, and what carries the accuracy."""
    first = found.methods[0]
    what = "image files" if found.importance is None else f"images of the {found.name} split"
    header = (
        f"{to_printable(found.run)}: {len(found.images)} {what}, model {first.model[:12]}\n"
        f"{100 * first.confidence:g} % bootstrap intervals over images; folder:"
        f" {to_printable(found.run)}/explanations/{found.name}"
    )
    images = [
        {
            "image": each.id,
            "predicted": each.predicted,
            "probability": each.probability,
            **({} if each.label is None else {"true": each.label}),
        }
        for each in found.images
    ]
    sections = [
        header,
        format_table(images, MOST_IMAGES),
        format_table([_make_row(method) for method in found.methods]),
        "\n".join(line for method in found.methods for line in _list_sentences(method)),
        *(_format_importance(found.importance) if found.importance else []),
    ]
    return "\n\n".join(sections) + "\n"


def _make_row(scores: MethodScores) -> dict[str, object]:
    return {
        "method": scores.method,
        "deletion": scores.deletion.area,
        "random_deletion": scores.deletion.random_area,
        "deletion_gain": scores.deletion.gain_interval,
        "insertion": scores.insertion.area,
        "random_insertion": scores.insertion.random_area,
        "insertion_gain": scores.insertion.gain_interval,
        "random_weights": scores.randomization[-1].similarity,
    }


def _list_sentences(scores: MethodScores) -> list[str]:
    advice = f"{get_title(scores.method)}: {scores.advice}"
    return textwrap.wrap(advice, WIDTH, subsequent_indent="  ")


def _format_importance(importance: Importance) -> list[str]:
    rows = [
        {"feature": each.name, "accuracy_drop": each.drop, "interval": each.drop_interval}
        for each in importance.rank()
    ]
    title = (
        f"features taken from another image ({importance.images:,} images,"
        f" {importance.permutations} permutations): {importance.finding}"
    )
    return ["\n".join(textwrap.wrap(title, WIDTH)), format_table(rows)]
