"""imgcls run. Light zone."""

from imgcls.cli import options, output
from imgcls.cli.train import RunFolder


def run_all(
    experiment: options.Experiment,
    folder: RunFolder = None,
    set_: options.Set = [],
    json: options.Json = False,
) -> None:
    """Prepare, train, evaluate and plot. The same command again goes on where it was interrupted.

    Example: imgcls run configs/digits.yaml
    """
    from imgcls.experiment_file import read_experiment
    from imgcls.verbs.run_all import format_report, run

    result = run(read_experiment(experiment, set_), folder)
    output.print_result(result, json, format_report)
