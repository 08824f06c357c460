"""imgcls doctor. Light zone."""

from typing import Annotated

import typer

from imgcls.cli import options, output

Precision = Annotated[
    str, typer.Option(metavar="NAME", help="A value of train.precision, to check beside float64.")
]


def doctor(precision: Precision = "float32", json: options.Json = False) -> None:
    """Check this machine in a minute: do one and two devices train to the same weights, and what
    does determinism cost? Exit code 6 if not.

    Example: imgcls doctor --precision mixed_float16
    """
    from imgcls.verbs import diagnose

    found = diagnose.diagnose(precision)
    output.print_json(found) if json else print(diagnose.format_report(found))
    diagnose.require_healthy(found)
