"""imgcls parts. Light zone."""

from typing import Annotated

import typer

from imgcls import completion
from imgcls.cli import options, output

Kind = Annotated[
    str | None,
    typer.Argument(
        metavar="KIND|PART",
        help="A kind, such as models or figures, or a part, such as random_affine; all kinds unless"
        " given.",
        show_default=False,
        autocompletion=completion.complete_kind_or_part,
    ),
]
Shape = Annotated[
    str | None,
    typer.Option(
        metavar="HxWxC",
        help="Build each model for images of a height, width and number of channels, and show its"
        " parameters, multiply-adds and memory.",
        show_default=False,
    ),
]
Classes = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="The number of classes, with --shape.", show_default=False
    ),
]
Set = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="MODEL.KEY=VALUE",
        help="A setting of a model, with --shape, such as resnet.depth=56. Repeatable.",
        show_default=False,
    ),
]


def parts(
    kind: Kind = None,
    shape: Shape = None,
    classes: Classes = None,
    overrides: Set = [],
    json: options.Json = False,
) -> None:
    """List the parts that experiments and --format can name; or show the settings of a part.

    Example: imgcls parts random_affine
    """
    from imgcls.verbs.list_parts import format_parts, list_parts

    output.print_result(list_parts(kind, shape, classes, overrides), json, format_parts)
