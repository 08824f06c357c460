"""imgcls check. Light zone."""

from imgcls.cli import options, output


def check(
    experiment: options.Experiment, set_: options.Set = [], json: options.Json = False
) -> None:
    """Validate an experiment file and print it with every default. Touches no data.

    Example: imgcls check configs/digits.yaml --set train.epochs=5
    """
    from imgcls.experiment_file import read_experiment

    resolved = read_experiment(experiment, set_)
    if json:
        output.print_json(resolved.model_dump())
    else:
        print(resolved.to_yaml(), end="")
