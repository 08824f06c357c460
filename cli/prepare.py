"""imgcls prepare. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls.cli import options, output

Splits = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.csv",
        help="Write the id and split of every image, as data.splits_file reads them.",
        show_default=False,
    ),
]


def prepare(
    experiment: options.Experiment,
    set_: options.Set = [],
    splits: Splits = None,
    json: options.Json = False,
) -> None:
    """Store, split and audit an experiment's data.

    Example: imgcls prepare configs/digits.yaml
    """
    from imgcls.experiment_file import read_experiment
    from imgcls.verbs import prepare

    report = prepare.prepare(read_experiment(experiment, set_), splits)
    arguments = output.quote_arguments(experiment, set_)
    output.print_result(report, json, lambda found: prepare.format_report(found, arguments))
