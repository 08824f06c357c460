"""imgcls audit. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls.cli import options, output

Target = Annotated[
    Path,
    typer.Argument(
        metavar="EXPERIMENT|RUN",
        help="A prepared experiment, or the folder of a run or family.",
        show_default=False,
    ),
]
Runs = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN", help="More evaluated runs or families on the same data.", show_default=False
    ),
]


def audit(
    target: Target, runs: Runs = [], set_: options.Set = [], json: options.Json = False
) -> None:
    """Show the audit of prepared data; with runs, also likely label errors in the images that they
    were not trained on.

    Example: imgcls audit runs/digits/1
    """
    from imgcls.verbs import audit

    found = audit.audit(target, runs, set_)
    arguments = output.quote_arguments(target, set_)
    output.print_result(found, json, lambda report: audit.format_report(report, arguments))
