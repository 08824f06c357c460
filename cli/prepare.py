"""imgcls prepare."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls.cli import options, output

Splits = Annotated[
    Path | None,
    typer.Option(metavar="FILE.csv", help="Write the id and split of every image, as data.splits reads them.", show_default=False),
]


def prepare(experiment: options.Experiment, set_: options.Set = [], splits: Splits = None, json: options.Json = False) -> None:  # noqa: B006
    """Check, split and store an experiment's data.

    Example: imgcls prepare configs/digits.yaml
    """
    from imgcls import preparing
    from imgcls.experiment_file import read_experiment

    report = preparing.prepare(read_experiment(experiment, set_), splits)
    output.print_json(report) if json else print(preparing.table(report))
