"""imgcls verify. Light zone."""

from imgcls.cli import options, output


def verify(
    experiment: options.Experiment, set_: options.Set = [], json: options.Json = False
) -> None:
    """Read every byte of an experiment's prepared data again, and compare it with what was
    prepared.

    Example: imgcls verify configs/digits.yaml
    """
    from imgcls.experiment_file import read_experiment
    from imgcls.verbs import verify

    report = verify.verify(read_experiment(experiment, set_))
    output.print_result(report, json, verify.format_report)
