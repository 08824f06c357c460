"""imgcls reproduce. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls import completion
from imgcls.cli import options, output

RunFolder = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="The folder of a finished run or family.",
        show_default=False,
        autocompletion=completion.complete_run,
    ),
]
NewFolder = Annotated[
    Path | None,
    typer.Option(
        "--run", metavar="DIR", help="The folder of the new run or runs.", show_default=False
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Train and compare the first N epochs only.", show_default=False
    ),
]
Tolerance = Annotated[
    list[str],
    typer.Option(
        metavar="QUANTITY=VALUE",
        help="Largest difference allowed; by default none. Repeatable.",
        show_default=False,
    ),
]


def reproduce(
    target: RunFolder,
    run: NewFolder = None,
    epochs: Epochs = None,
    tolerance: Tolerance = [],
    workers: options.Workers = None,
    rank: options.Rank = None,
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Train a run, or each run of a family, again from its folder alone, and compare. Exit code 6
    if a number differs, 3 if the data changed.

    Example: imgcls reproduce runs/digits/1 --epochs 2
    """
    from imgcls.distributed.cluster import find_cluster
    from imgcls.name_value import parse_numbers
    from imgcls.run_lookup import open_run_or_family
    from imgcls.verbs import reproduce

    tolerances = parse_numbers("--tolerance", tolerance, "QUANTITY=VALUE, such as accuracy=0.005")
    run_or_family, experiment = open_run_or_family(target, set_)
    cluster = find_cluster(experiment, run, workers, rank)
    output.print_gated(
        lambda: reproduce.reproduce(run_or_family, experiment, run, epochs, tolerances, cluster),
        json,
        reproduce.format_report,
    )
