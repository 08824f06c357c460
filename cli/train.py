"""imgcls train."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls.cli import options, output

RunFolder = Annotated[
    Path | None, typer.Option("--run", metavar="DIR", help="The run folder: created, continued, or found finished.", show_default=False)
]


def train(experiment: options.Experiment, run: RunFolder = None, set_: options.Set = [], json: options.Json = False) -> None:  # noqa: B006
    """Train a model. The same command again continues an interrupted run.

    Example: imgcls train configs/digits.yaml --run runs/first
    """
    from imgcls.experiment_file import read_experiment
    from imgcls.training import train as train_experiment

    output.print_result(train_experiment(read_experiment(experiment, set_), run), as_json=json)
