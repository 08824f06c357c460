"""imgcls tune. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls.cli import options, output

Study = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="The folder of the study, to create or to continue.",
        show_default=False,
    ),
]
Jobs = Annotated[
    int,
    typer.Option(metavar="N", help="Trials at once, which share the cores or GPUs."),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="A PostgreSQL database, by which several hosts work on one study.",
        show_default=False,
    ),
]

Confirm = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Then train the best trial and the file's own values on N other seeds, test them once,"
        " and compare.",
        show_default=False,
    ),
]


def tune(
    experiment: options.Experiment,
    study: Study = None,
    jobs: Jobs = 1,
    storage: Storage = None,
    confirm: Confirm = None,
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Search the values of keys that the experiment's section tune names. The same command again
    continues an interrupted search.

    Example: imgcls tune experiment.yaml --jobs 2
    """
    from imgcls.experiment_file import read_experiment
    from imgcls.verbs import tune

    found = read_experiment(experiment, set_)
    output.print_result(tune.tune(found, study, storage, jobs, confirm), json, tune.format_report)
