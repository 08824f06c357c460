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
    """Evaluate a run's model on a split, once, and save the predictions and metrics.

    Example: imgcls eval configs/digits.yaml --fail-under accuracy=0.97
    """
    from imgcls import metrics
    from imgcls.evaluation import gates
    from imgcls.run_lookup import find_run
    from imgcls.verbs import evaluate

    run, experiment = find_run(target, set_)
    floors = gates.parse_gates(fail_under, metrics.directions(experiment.evaluate.metrics))
    summary = evaluate.evaluate(run, experiment, split)
    if json:
        output.print_json(summary.model_dump())
    else:
        print(evaluate.read_report(run, split), end="")
    gates.check_gates(floors, summary.metrics)
