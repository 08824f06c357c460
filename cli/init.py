"""imgcls init. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls import completion
from imgcls.cli import options, output

Folder = Annotated[
    Path | None,
    typer.Argument(
        metavar="[FOLDER]",
        help="The folder of your images, with a folder for each class; or a list of them (CSV).",
        show_default=False,
    ),
]
Recipe = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Write an experiment that comes with imgcls, such as digits.",
        show_default=False,
        autocompletion=completion.complete_recipe,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        metavar="FILE.yaml",
        help="The file to write; named after the folder or recipe unless given.",
        show_default=False,
    ),
]


def init(
    folder: Folder = None,
    recipe: Recipe = None,
    file: Output = None,
    json: options.Json = False,
) -> None:
    """Look at a folder of images, and write a commented experiment that fits it.

    Example: imgcls init --recipe digits
    """
    from imgcls.verbs import init

    paths = init.init(folder, recipe, file)
    output.print_result(list(map(str, paths)), json, init.format_report)
