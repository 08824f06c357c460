"""imgcls verify. Light zone."""

from imgcls.cli import options, output


def verify(
    experiment: options.Experiment, set_: options.Set = [], json: options.Json = False
) -> None:
    """Check every file of an experiment's prepared data against its checksum.

    Example: imgcls verify configs/digits.yaml
    """
    from imgcls.experiment_file import read_experiment
    from imgcls.verbs import verify

    report = verify.verify(read_experiment(experiment, set_))
    output.print_result(report, json, verify.format_report)
