"""imgcls eval. Light zone."""

from typing import Annotated

import typer

from imgcls.cli import options, output

Split = Annotated[str, typer.Option(metavar="NAME", help="train, validation or test.")]
FailUnder = Annotated[
    list[str],
    typer.Option(
        "--fail-under",
        metavar="METRIC=VALUE",
        help="Exit with code 6 if a metric is lower. Repeatable.",
        show_default=False,
    ),
]


def evaluate(
    target: options.Target,
    split: Split = "test",
    fail_under: FailUnder = [],
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Evaluate a run's model, or each run of a family, on a split, and save the predictions and
    metrics.

    Example: imgcls eval configs/digits.yaml --fail-under accuracy=0.97
    """
    from imgcls.name_value import parse_numbers
    from imgcls.run_lookup import find_run_or_family
    from imgcls.verbs import evaluate

    gates = parse_numbers("--fail-under", fail_under, "METRIC=VALUE, such as accuracy=0.9")
    run_or_family, experiment = find_run_or_family(target, set_)
    output.print_gated(
        lambda: evaluate.evaluate(run_or_family, experiment, split, gates),
        json,
        lambda found: evaluate.format_report(found, run_or_family.folder),
    )
