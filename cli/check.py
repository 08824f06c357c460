"""imgcls check. Light zone."""

from imgcls.cli import options, output


def check(
    experiment: options.Experiment, set_: options.Set = [], json: options.Json = False
) -> None:
    """Validate an experiment file and print it with every default. Touches no data.

    Example: imgcls check configs/digits.yaml --set train.epochs=5
    """
    from imgcls.config import Experiment
    from imgcls.experiment_file import read_experiment

    output.print_result(read_experiment(experiment, set_), json, Experiment.to_yaml)
