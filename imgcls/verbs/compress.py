"""The verb `compress`: makes a smaller or faster run of a finished one. Light zone.

TensorFlow is imported once everything else is checked. It runs the verb `train` for methods that
train.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imgcls.compression import folders
from imgcls.compressors import CompressorSettings
from imgcls.config import Experiment
from imgcls.device import choice
from imgcls.errors import Interrupted, ProcessRestart, UserError, get_exit_code
from imgcls.experiment_file import read_experiment
from imgcls.family import Family
from imgcls.io import terminal
from imgcls.parts import list_names
from imgcls.report.tables import format_pairs
from imgcls.run import Run
from imgcls.run_lookup import format_command, require_finished
from imgcls.verbs import train

if TYPE_CHECKING:
    import keras

OF_OTHER_LAYERS = (
    "model.weights=null",
    "train.head_init=null",
    "train.budget=null",
    "train.freeze=[]",
    "train.progressive_resizing=null",
    "train.learning_rate_factors=[]",
    "train.layer_decay=null",
)
"""Settings of a training that do not suit the network of a method."""


def compress(
    run_or_family: Run | Family, experiment: Experiment | None = None, folder: Path | None = None
) -> dict[str, Any]:
    """Make a compressed run of a finished one by the methods of the section `compress`.

    A compressed run is interrupted and continued as a training is: by the same call.

    Args:
        experiment: that of the run, with the methods; None for that of the run.
        folder: of the compressed run; None for one beside the original, named by the methods and a
            number, or the newest such one if it is not finished.

    Returns:
        The summary that the command prints.

    Raises:
        UserError: no method is given, it needs an extra, or the folder has something else; or it
            is a family.
        DataError: the run is not finished, its model is damaged, or a method needs data that is
            missing.
        OutOfMemoryError, DivergenceError: as `train`.
        Interrupted: a signal stopped it; the same call continues it.
    """
    original = _require_run(run_or_family)
    require_finished(original)
    _require_network(original)
    experiment = experiment or original.experiment
    methods = _require_methods(experiment)
    result = folders.find_or_create(original, folders.describe(original, methods), folder)
    with result.lock():
        if result.status.status == "finished":
            terminal.note(f"{result.folder} is finished; there is nothing to compress")
        else:
            _compress(original, result, experiment, methods)
    return _summarize(original, result)


def add_methods(methods: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return overrides of an experiment, in which methods by name replace the section `compress`.

    Settings of methods then follow, such as `compress.0.type=int8`.
    """
    return [*([f"compress=[{', '.join(methods)}]"] if methods else []), *overrides]


def _require_run(run_or_family: Run | Family) -> Run:
    if isinstance(run_or_family, Family):
        names = ", ".join(str(run.folder) for run in run_or_family.runs)
        raise UserError(f"{run_or_family.folder} is a family; compress one of its runs: {names}")
    return run_or_family


def _require_network(original: Run) -> None:
    if original.model_file != original.keras_file:
        raise UserError(
            f"{original.folder} was compressed to {original.model_file.name}, which no method can"
            " change; compress the run that it was made of, with all methods in one chain"
        )


def _require_methods(experiment: Experiment) -> list[CompressorSettings]:
    """Return the methods, after checking that what they need is installed."""
    if not experiment.compress:
        raise UserError(
            "no method is given; give --method, or a section compress, with one of"
            f" {', '.join(list_names('compressors'))}"
        )
    for settings in experiment.compress:
        settings.require_packages()
    return experiment.compress


def _compress(
    original: Run, result: Run, experiment: Experiment, methods: Sequence[CompressorSettings]
) -> None:
    """Apply the methods, under the lock of the result."""
    result.remove_leftovers()
    choice.use_for_prediction(experiment.train.strategy.get_device(), experiment.train.gpu_memory)
    with _record_status(result):
        from imgcls.compression import chain

        def fine_tune(model: "keras.Model | None", overrides: Sequence[str], target: Path) -> Run:
            return _train(original, model, overrides, target)

        chain.apply(original, result, experiment, methods, fine_tune)
    chain.remove_trainings(result)


def _train(
    original: Run, model: "keras.Model | None", overrides: Sequence[str], target: Path
) -> Run:
    """Train a network in a folder, or continue; see `Context.fine_tune`."""
    run = Run(target)
    wanted = overrides if model is None else [*OF_OTHER_LAYERS, *overrides]
    experiment = read_experiment(original.config_file, wanted)
    if model is not None and (not run.config_file.is_file() or run.can_be_recreated()):
        from imgcls.training.model_description import read_description
        from imgcls.training.model_file import save_model

        target.mkdir(exist_ok=True)
        save_model(model, read_description(original.model_file), run.network_file)
    train.train(experiment, target, data=original.data)
    return run


@contextmanager
def _record_status(result: Run) -> Iterator[None]:
    """Write how the block starts and ends to status.json.

    Raises:
        Interrupted: it was; the message says how to continue.
    """
    result.write_status("running", step=result.status.step)
    try:
        yield
    except BaseException as error:
        is_stopped = isinstance(error, Interrupted | KeyboardInterrupt)
        result.write_status(
            "interrupted" if is_stopped else "failed",
            step=result.status.step,
            exit_code=get_exit_code(error),
            reason=str(error) or type(error).__name__,
        )
        if isinstance(error, Interrupted) and not isinstance(error, ProcessRestart):
            advice = f"the state is saved, continue with: {format_command(result)}"
            raise Interrupted(error.reason, advice) from None
        raise
    result.write_status("finished", step=result.status.step, exit_code=0)


def _summarize(original: Run, result: Run) -> dict[str, Any]:
    made = result.compression
    assert made is not None  # as `find_or_create` wrote it
    return {
        "run": str(result.folder),
        "original": str(original.folder),
        "model": str(result.model_file),
        "bytes": result.model_file.stat().st_size,
        "original_bytes": original.model_file.stat().st_size,
        "methods": [step.model_dump() for step in made.steps],
    }


def format_report(summary: dict[str, Any]) -> str:
    """Return the summary as text."""
    steps = {
        f"{number} {step['settings']['name']}": ", ".join(
            f"{name} {value}" for name, value in step["details"].items()
        )
        for number, step in enumerate(summary["methods"], 1)
    }
    return format_pairs({**{k: v for k, v in summary.items() if k != "methods"}, **steps})
