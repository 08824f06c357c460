"""report.html of a family: a self-contained page with the spread of its runs. Light zone."""

import os

from imgcls.datasets import SPLITS
from imgcls.evaluation import families
from imgcls.evaluation.spread import make_spread_rows
from imgcls.family import Family
from imgcls.io import files
from imgcls.report import family_text, html, page

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
    pooled = [name for name in page.list_figures(family, experiment) if name not in CAPTIONS]
    sections = [
        _render_training(family),
        *[_render_spread(family, split) for split in families.list_evaluated_splits(family)],
        *[
            page.render_evaluation(family, split)
            for split in SPLITS
            if os.path.lexists(family.metrics_file(split))
        ],
        "<h2>Figures</h2>",
        *[
            html.render_figure(name, family.figure_file(name).read_bytes(), caption)
            for name, caption in CAPTIONS.items()
            if family.figure_file(name).is_file()
        ],
        *[page.render_figure(family, name) for name in pooled],
        html.render_folded(
            "Configuration, with every default",
            f"<pre>{html.escape_text(experiment.to_yaml())}</pre>",
        ),
    ]
    files.write_text(family.report_page, html.make_page(experiment.name, sections))


def _render_training(family: Family) -> str:
    summary = families.summarize_training(family, None)
    facts = {
        "family": str(family.folder),
        "runs": f"{len(summary.runs)}, by {summary.by}",
        "fingerprint": family.record.fingerprint,
    }
    lines = [
        html.render_pairs(facts),
        "<h2>Training, at the selected epochs</h2>",
        html.render_table(make_spread_rows(summary.spreads)),
        html.render_table([run.model_dump() for run in summary.runs]),
    ]
    return "\n".join(lines)


def _render_spread(family: Family, split: str) -> str:
    found = families.read_evaluation(family, split)
    lines = [
        f"<h2>Metrics of {len(found.runs)} runs, {split} split</h2>",
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
    return "\n".join(lines)
