"""imgcls prepare."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls.cli import options, output

Splits = Annotated[
    Path | None,
    typer.Option(metavar="FILE.csv", help="Write the id and split of every image, as data.splits reads them.", show_default=False),
]
Verify = Annotated[bool, typer.Option("--verify", help="Read every byte of the prepared store again, and compare it with the manifest.")]


def prepare(
    experiment: options.Experiment,
    set_: options.Set = [],  # noqa: B006
    splits: Splits = None,
    verify: Verify = False,
    json: options.Json = False,
) -> None:
    """Store, split and audit an experiment's data.

    Example: imgcls prepare configs/digits.yaml
    """
    from imgcls import preparing
    from imgcls.experiment_file import read_experiment

    wanted = read_experiment(experiment, set_)
    work, text = (preparing.verify, preparing.verified) if verify else (preparing.prepare, preparing.text)
    report = work(wanted, splits)
    output.print_json(report) if json else print(text(report))
