"""report.html of a family: a self-contained page with the spread of its runs. Light zone."""

import os

from imgcls.datasets import SPLITS
from imgcls.evaluation import families
from imgcls.evaluation.spread import make_spread_rows
from imgcls.family import Family
from imgcls.io import files
from imgcls.report import family_text, html, page
from imgcls.report.html import Chapter
from imgcls.report.pictures import read_pictures

CAPTIONS = {
    "learning_curves": (
        "Curves of each run, and their mean over the epochs that all runs have; a dot marks the"
        " selected epoch."
    ),
    "spread": "Metrics of each run, with their mean and the interval of the mean.",
}
"""The figures of a family itself, each with its caption."""


def write_page(family: Family) -> None:
    """Write a family's page from the files that its folder holds now.

    Raises:
        UserError: the file cannot be written.
    """
    experiment = family.experiment
    own = [name for name in CAPTIONS if family.figure_file(name).is_file()]
    pooled = [name for name in page.list_figures(family, experiment) if name not in CAPTIONS]
    pictures = read_pictures({name: family.figure_file(name) for name in [*own, *pooled]})
    figures = [
        *[html.render_figure(name, pictures[name], CAPTIONS[name]) for name in own],
        *[page.render_figure(name, pictures[name]) for name in pooled],
    ]
    sections: list[str | Chapter] = [
        _render_facts(family),
        Chapter("Training, at the selected epochs", _render_training(family)),
        *[_render_spread(family, split) for split in families.list_evaluated_splits(family)],
        *[
            page.render_evaluation(family, split)
            for split in SPLITS
            if os.path.lexists(family.metrics_file(split))
        ],
        Chapter("Figures", "\n".join(figures)),
        page.render_configuration(experiment.to_yaml()),
    ]
    files.write_text(family.report_page, html.make_page(experiment.name, sections))


def _render_facts(family: Family) -> str:
    facts = {
        "family": str(family.folder),
        "runs": f"{len(family.runs)}, by {family.record.by}",
        "fingerprint": family.record.fingerprint,
    }
    return html.render_pairs(facts)


def _render_training(family: Family) -> str:
    summary = families.summarize_training(family, None)
    lines = [
        html.render_table(make_spread_rows(summary.spreads)),
        html.render_table([run.model_dump() for run in summary.runs]),
    ]
    return "\n".join(lines)


def _render_spread(family: Family, split: str) -> Chapter:
    found = families.read_evaluation(family, split)
    lines = [
        html.render_paragraph(family_text.describe_interval(found.confidence, len(found.runs))),
        html.render_table(make_spread_rows(found.spreads)),
        *[
            html.render_folded(
                family_text.describe_tta(name), html.render_table(make_spread_rows(spreads))
            )
            for name, spreads in found.tta.items()
        ],
        html.render_folded("Each run", html.render_table(family_text.make_run_rows(found))),
    ]
    return Chapter(f"Metrics of {len(found.runs)} runs, {split} split", "\n".join(lines))
