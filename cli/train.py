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

FindLearningRate = Annotated[
    bool,
    typer.Option(
        "--find-learning-rate",
        help="Instead of training, raise the learning rate until the loss explodes; suggest one.",
    ),
]
Overfit = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Instead of training, see if the model can fit N training images; else exit code 6.",
        show_default=False,
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="Instead of training, do all that a training does once, and leave nothing behind.",
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
    find_learning_rate: FindLearningRate = False,
    overfit: Overfit = None,
    dry_run: DryRun = False,
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Train a model, or a family of runs. The same command again continues an interrupted run.

    Example: imgcls train configs/digits.yaml --num-seeds 5
    """
    from imgcls.experiment_file import read_experiment
    from imgcls.family import parse_members
    from imgcls.rehearsal.options import parse_rehearsal
    from imgcls.verbs import train_family

    found = read_experiment(experiment, set_)
    others = {
        "--run": run,
        "--seeds": seeds,
        "--num-seeds": num_seeds,
        "--folds": folds,
        "--workers": workers,
        "--rank": rank,
    }
    arguments = output.quote_arguments(experiment, set_)
    rehearsal = parse_rehearsal(find_learning_rate, overfit, dry_run, others, arguments)
    members = parse_members(seeds, num_seeds, folds, found)
    output.print_gated(
        lambda: train_family.train(found, run, workers, rank, members, rehearsal),
        json,
        train_family.format_report,
    )
