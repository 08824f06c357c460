"""imgcls compare. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls import completion
from imgcls.cli import options, output
from imgcls.cli.eval import Split

Targets = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN...",
        help="Folders of runs or families, or experiment files for their newest finished runs; the"
        " first is the one that the others are compared with.",
        show_default=False,
        autocompletion=completion.complete_target,
    ),
]
FailIfWorse = Annotated[
    list[str],
    typer.Option(
        "--fail-if-worse",
        metavar="METRIC=VALUE",
        help="Exit with code 6 if a metric is worse by more than VALUE, with its whole confidence"
        " interval. Repeatable.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="DIR",
        help="The folder to write to; runs/comparisons/<number> unless given.",
        show_default=False,
    ),
]


def compare(
    targets: Targets,
    split: Split = "test",
    fail_if_worse: FailIfWorse = [],
    folder: Folder = None,
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Compare runs or families on the same images: numbers, classes, images, settings, and what
    may be concluded.

    Example: imgcls compare runs/digits/1 runs/digits/2 --fail-if-worse accuracy=0.002
    """
    from imgcls.comparison.text_report import format_report
    from imgcls.name_value import parse_numbers
    from imgcls.verbs import compare

    form = "METRIC=VALUE, such as accuracy=0.002"
    losses = parse_numbers("--fail-if-worse", fail_if_worse, form)
    output.print_gated(
        lambda: compare.compare(targets, split, losses, folder, set_), json, format_report
    )
