"""imgcls prepare."""

from imgcls.cli import options, output


def prepare(experiment: options.Experiment, set_: options.Set = [], json: options.Json = False) -> None:  # noqa: B006
    """Check, split and store an experiment's data.

    Example: imgcls prepare configs/digits.yaml
    """
    from imgcls import preparing
    from imgcls.experiment_file import read_experiment

    report = preparing.prepare(read_experiment(experiment, set_))
    output.print_json(report) if json else print(preparing.text(report))
