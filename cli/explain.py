"""imgcls explain. Light zone."""

from typing import Annotated

import typer

from imgcls.cli import options, output

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="[PATH]...",
        help="Image files, folders, or patterns in quotes; images of a split unless given.",
        show_default=False,
    ),
]
Methods = Annotated[
    list[str],
    typer.Option(
        "--method",
        metavar="NAME",
        help="A name from `imgcls parts explainers`, in place of explain.methods. Repeatable.",
        show_default=False,
    ),
]
Split = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME",
        help="Explain images of train, validation or test, and measure which channels, frequencies"
        " and regions carry the accuracy there; validation unless files are given.",
        show_default=False,
    ),
]


def explain(
    target: options.Target,
    paths: Paths = [],
    method: Methods = [],
    split: Split = None,
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Show which pixels a run's predictions depend on, and measure whether to believe it.

    Example: imgcls explain runs/digits/1 --method integrated_gradients --split test
    """
    from imgcls.explanation.report import format_report
    from imgcls.run_lookup import find_run_to_predict
    from imgcls.verbs import explain

    run, experiment = find_run_to_predict(target, explain.add_methods(method, set_))
    found = explain.explain(run, experiment, paths, split)
    output.print_result(found, json, format_report)
