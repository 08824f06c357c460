"""imgcls doctor. Light zone."""

from typing import Annotated

import typer

from imgcls.cli import options, output

Precision = Annotated[
    str, typer.Option(metavar="NAME", help="A value of train.precision, to check beside float64.")
]


def doctor(precision: Precision = "float32", json: options.Json = False) -> None:
    """Check that CPU and GPU, and one and two devices, train the same weights, and measure what
    determinism costs. Takes a minute; exit code 6 if the weights differ.

    Example: imgcls doctor --precision mixed_float16
    """
    from imgcls.verbs import diagnose

    output.print_gated(lambda: diagnose.diagnose(precision), json, diagnose.format_report)
