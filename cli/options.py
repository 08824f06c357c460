"""Options and arguments that several commands share. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls import completion

Experiment = Annotated[
    Path,
    typer.Argument(
        metavar="EXPERIMENT",
        help="An experiment file (YAML).",
        show_default=False,
        autocompletion=completion.complete_experiment,
    ),
]
Target = Annotated[
    Path,
    typer.Argument(
        metavar="EXPERIMENT|RUN",
        help="The folder of a run or family, or an experiment file for its newest finished run.",
        show_default=False,
        autocompletion=completion.complete_target,
    ),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting, such as train.epochs=5. Repeatable.",
        show_default=False,
        autocompletion=completion.complete_setting,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Workers = Annotated[
    str | None,
    typer.Option(
        metavar="HOST:PORT,...",
        help="All workers of train.strategy multi_worker, by rank.",
        show_default=False,
    ),
]
Rank = Annotated[
    int | None,
    typer.Option(metavar="N", help="The rank of this process, from 0.", show_default=False),
]
