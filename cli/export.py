"""imgcls export. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls import completion
from imgcls.cli import options, output

Target = Annotated[
    Path,
    typer.Argument(
        metavar="EXPERIMENT|RUN",
        help="The folder of a run, or an experiment file for its newest finished run.",
        show_default=False,
        autocompletion=completion.complete_target,
    ),
]
Formats = Annotated[
    list[str],
    typer.Option(
        "--format",
        metavar="NAME",
        help="A name from `imgcls parts exporters`. Repeatable.",
        show_default=False,
        autocompletion=completion.complete_format,
    ),
]


def export(
    target: Target, formats: Formats = [], set_: options.Set = [], json: options.Json = False
) -> None:
    """Write a run's model in other formats, each once it predicts what model.keras does; else exit
    code 6.

    Example: imgcls export runs/digits/1 --format saved_model
    """
    from imgcls.run_lookup import find_run_or_family
    from imgcls.verbs import export

    run_or_family, experiment = find_run_or_family(target, set_)
    output.print_gated(
        lambda: export.export(run_or_family, experiment, formats), json, export.format_report
    )
