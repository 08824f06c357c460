"""imgcls compress. Light zone."""

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
Methods = Annotated[
    list[str],
    typer.Option(
        "--method",
        metavar="NAME",
        help="A name from `imgcls parts compressors`, in place of the section compress."
        " Repeatable: methods are applied in their order.",
        show_default=False,
        autocompletion=completion.complete_method,
    ),
]
Settings = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a setting, such as compress.0.type=int8 of the first method. Repeatable.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--run",
        metavar="DIR",
        help="The folder of the compressed run; beside the original unless given.",
        show_default=False,
    ),
]
FailUnder = Annotated[
    list[str],
    typer.Option(
        "--fail-under",
        metavar="NUMBER=VALUE",
        help="Exit with code 6 if accuracy, agreement or worst_class_recall is lower on the"
        " validation split. Repeatable.",
        show_default=False,
    ),
]


def compress(
    target: Target,
    method: Methods = [],
    run: Folder = None,
    fail_under: FailUnder = [],
    set_: Settings = [],
    json: options.Json = False,
) -> None:
    """Make a smaller or faster run of a finished one; it keeps the original, and says how the two
    differ.

    Example: imgcls compress runs/digits/1 --method fold
    """
    from imgcls.name_value import parse_numbers
    from imgcls.run_lookup import find_run_or_family
    from imgcls.verbs import compress

    gates = parse_numbers("--fail-under", fail_under, "NUMBER=VALUE, such as agreement=0.99")
    overrides = compress.add_methods(method, set_)
    run_or_family, experiment = find_run_or_family(target, overrides)
    output.print_gated(
        lambda: compress.compress(run_or_family, experiment, run, gates),
        json,
        compress.format_report,
    )
