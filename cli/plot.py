"""imgcls plot. Light zone."""

from typing import Annotated

import typer

from imgcls import completion
from imgcls.cli import options, output

Figures = Annotated[
    list[str],
    typer.Argument(
        metavar="FIGURE",
        help="Names from `imgcls parts figures`; all unless given.",
        show_default=False,
        autocompletion=completion.complete_figure,
    ),
]


def plot(
    target: options.Target,
    figures: Figures = [],
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Draw the figures and the report page of a run or family.

    Example: imgcls plot configs/digits.yaml confusion_matrix roc
    """
    from imgcls.run_lookup import find_run_to_plot
    from imgcls.verbs import plot

    run_or_family, experiment = find_run_to_plot(target, set_)
    written = plot.plot(run_or_family, experiment, figures)
    output.print_result(list(map(str, written)), json, "\n".join)
