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
        help="The folder of the run or family, to create or to continue.",
        show_default=False,
    ),
]
Seeds = Annotated[
    str | None,
    typer.Option(metavar="N,N,...", help="Train a run for each seed.", show_default=False),
]
NumSeeds = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Train N runs, with seeds from the experiment's on.", show_default=False
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Cross-validate: train a run for each of N folds.", show_default=False
    ),
]


def train(
    experiment: options.Experiment,
    run: RunFolder = None,
    seeds: Seeds = None,
    num_seeds: NumSeeds = None,
    folds: Folds = None,
    workers: options.Workers = None,
    rank: options.Rank = None,
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Train a model, or a family of runs. The same command again continues an interrupted run.

    Example: imgcls train configs/digits.yaml --num-seeds 5
    """
    from imgcls.distributed.cluster import find_cluster
    from imgcls.experiment_file import read_experiment
    from imgcls.family import parse_members
    from imgcls.verbs import train_family

    found = read_experiment(experiment, set_)
    members = parse_members(seeds, num_seeds, folds, found)
    cluster = find_cluster(found, run, workers, rank)
    summary = train_family.train(found, run, cluster, members)
    output.print_result(summary, json, train_family.format_report)
