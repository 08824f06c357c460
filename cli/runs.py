"""imgcls runs. Light zone."""

from typing import Annotated

import typer

from imgcls.cli import options, output

Sort = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Sort by a setting, a metric such as test.macro_f1, or date, seconds, model, ...",
        show_default=False,
    ),
]
Reverse = Annotated[bool, typer.Option("--reverse", help="The highest first.")]
Where = Annotated[
    list[str],
    typer.Option(
        metavar="CONDITION",
        help="Only runs such as model=cnn or 'test.accuracy>=0.9'. Repeatable.",
        show_default=False,
    ),
]
Show = Annotated[
    list[str],
    typer.Option(
        metavar="NAME",
        help="Another column: a setting, a metric, or date, seconds, ... Repeatable.",
        show_default=False,
    ),
]
Differing = Annotated[
    bool, typer.Option("--differing", help="Show the settings that differ between the runs.")
]
Page = Annotated[
    bool, typer.Option("--page", help="Write them to runs/index.html, too, with links.")
]
Mlflow = Annotated[
    str | None,
    typer.Option(
        metavar="URI",
        help="Log the finished ones to this MLflow server, too (the extra mlflow).",
        show_default=False,
    ),
]


def runs(
    sort: Sort = None,
    reverse: Reverse = False,
    where: Where = [],
    show: Show = [],
    differing: Differing = False,
    page: Page = False,
    mlflow: Mlflow = None,
    json: options.Json = False,
) -> None:
    """List the runs below runs/, each with its status and numbers, sorted and filtered by any
    setting or metric.

    Example: imgcls runs --where model=cnn --sort test.accuracy --reverse --differing
    """
    from imgcls.verbs.runs import RunQuery, format_runs, query_runs

    found = query_runs(RunQuery(sort, reverse, where, show, differing, page, mlflow))
    output.print_result(found, json, format_runs)
