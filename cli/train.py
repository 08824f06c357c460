"""imgcls train. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls.cli import options, output

RunFolder = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="DIR",
        help="The run folder, to create or to continue.",
        show_default=False,
    ),
]


def train(
    experiment: options.Experiment,
    run: RunFolder = None,
    workers: options.Workers = None,
    rank: options.Rank = None,
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Train a model. The same command again continues an interrupted run.

    Example: imgcls train configs/digits.yaml --run runs/first
    """
    from imgcls.distributed.cluster import find_cluster
    from imgcls.experiment_file import read_experiment
    from imgcls.verbs import train

    found = read_experiment(experiment, set_)
    cluster = find_cluster(found, run, workers, rank)
    output.print_result(train.train(found, run, cluster=cluster), json, train.format_summary)
