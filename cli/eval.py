"""imgcls eval. Light zone."""

from pathlib import Path
from typing import Annotated

import typer

from imgcls import completion
from imgcls.cli import options, output

Split = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="train, validation or test.",
        autocompletion=completion.complete_split,
    ),
]
FailUnder = Annotated[
    list[str],
    typer.Option(
        "--fail-under",
        metavar="METRIC=VALUE",
        help="Exit with code 6 if a metric is lower. Repeatable.",
        show_default=False,
    ),
]
Artifact = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Evaluate what `imgcls export` wrote instead of model.keras, in its own runtime.",
        show_default=False,
    ),
]
Corruptions = Annotated[
    bool,
    typer.Option(
        "--corruptions",
        help="Measure the model on noisy, blurred and otherwise corrupted images instead.",
    ),
]


def evaluate(
    target: options.Target,
    split: Split = "test",
    fail_under: FailUnder = [],
    artifact: Artifact = None,
    corruptions: Corruptions = False,
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
    folder = evaluate.get_result_folder(run_or_family, artifact)
    output.print_gated(
        lambda: evaluate.evaluate(run_or_family, experiment, split, gates, artifact, corruptions),
        json,
        lambda found: evaluate.format_report(found, folder),
    )
