"""imgcls runs. Light zone."""

from imgcls.cli import options, output


def runs(json: options.Json = False) -> None:
    """List the runs below runs/, each with its status and numbers.

    Example: imgcls runs
    """
    from imgcls.verbs.runs import format_runs, list_runs

    output.print_result(list_runs(), json, format_runs)
