"""imgcls parts. Light zone."""

from typing import Annotated

import typer

from imgcls.cli import options, output

Kind = Annotated[
    str | None,
    typer.Argument(
        metavar="KIND",
        help="Such as datasets, models or figures; all unless given.",
        show_default=False,
    ),
]


def parts(kind: Kind = None, json: options.Json = False) -> None:
    """List the parts that an experiment file can name, each with a one-line summary.

    Example: imgcls parts models
    """
    from imgcls.parts import describe
    from imgcls.report.tables import format_pairs

    output.print_result(describe(kind), json, format_pairs)
