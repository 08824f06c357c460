"""imgcls prepare."""

from typing import Annotated

from typer import Option

from imgcls.cli import options, output


def prepare(
    experiment: options.Experiment,
    set_: options.Set = [],  # noqa: B006
    verify: Annotated[
        bool, Option("--verify", help="Read every byte of the prepared store again, and compare it with the manifest.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Store, split and audit an experiment's data.

    Example: imgcls prepare configs/digits.yaml
    """
    from imgcls import preparing
    from imgcls.experiment_file import read_experiment

    wanted = read_experiment(experiment, set_)
    report, text = (preparing.verify(wanted), preparing.verified) if verify else (preparing.prepare(wanted), preparing.text)
    output.print_json(report) if json else print(text(report))
