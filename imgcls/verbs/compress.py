"""The verb `compress`: makes a smaller or faster run of a finished one. Light zone.

TensorFlow is imported once everything else is checked. It runs the verb `train` for methods that
train.
"""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from imgcls.compression import folders
from imgcls.compression.table_record import CompressionTable, find_table
from imgcls.compressors import CompressorSettings
from imgcls.config import Experiment
from imgcls.device import choice
from imgcls.errors import Interrupted, ProcessRestart, UserError, get_exit_code
from imgcls.evaluation import gates
from imgcls.experiment_file import read_experiment
from imgcls.family import Family
from imgcls.io import terminal
from imgcls.io.records import write_record
from imgcls.io.terminal import to_printable
from imgcls.parts import list_names
from imgcls.report.tables import WIDTH, format_table
from imgcls.run import Run
from imgcls.run_lookup import format_command, require_finished
from imgcls.verbs import train

if TYPE_CHECKING:
    import keras

GATED = ("accuracy", "agreement", "worst_class_recall")
"""What `fail_under` takes."""
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
    run_or_family: Run | Family,
    experiment: Experiment | None = None,
    folder: Path | None = None,
    fail_under: Mapping[str, float] = {},
) -> CompressionTable:
    """Make a compressed run of a finished one by the methods of the section `compress`.

    A compressed run is interrupted and continued as a training is: by the same call.

    Args:
        experiment: that of the run, with the methods; None for that of the run.
        folder: of the compressed run; None for one beside the original, named by the methods and a
            number, or the newest such one if it is not finished.
        fail_under: the minimum of accuracy, agreement or worst_class_recall on validation.

    Returns:
        How the two differ, the content of compression_table.json.

    Raises:
        GateError: a number is below its minimum. All files are written, and the error's `result` is
            the table.
        UserError: no method is given, it needs an extra, or the folder has something else; or it
            is a family.
        DataError: the run is not finished, its model is damaged, or a method needs data that is
            missing.
        OutOfMemoryError, DivergenceError: as `train`.
        Interrupted: a signal stopped it; the same call continues it.
    """
    gates.require_valid(fail_under, dict.fromkeys(GATED, "higher"))
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
        table = _find_or_measure(original, result, experiment)
    gates.check_gates(fail_under, table.gated, table)
    return table


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


def _find_or_measure(original: Run, result: Run, experiment: Experiment) -> CompressionTable:
    """Return the table of a finished run: the saved one, or a new one."""
    if saved := find_table(result):
        return saved
    choice.use_for_prediction(experiment.train.strategy.get_device(), experiment.train.gpu_memory)
    from imgcls.compression import table

    made = table.measure(original, result, experiment)
    write_record(result.compression_table_file, made)
    return made


def format_report(found: CompressionTable) -> str:
    """Return the table as text, with what was measured how, and warnings."""
    of = {"store": "", "sample": " that the run keeps"}
    sizes = ", ".join(
        f"{each.images:,} of {each.split}{of[each.images_from]}" for each in found.compared
    )
    how = (
        f"images: {sizes}; {100 * found.confidence:g} % intervals: Wilson for accuracies, paired"
        " bootstrap for differences",
        f"latency: medians of {found.rounds} interleaved rounds in {found.runtime}, both models,"
        f" {found.threads} threads, {found.processor} ({' '.join(found.cpu_features)})",
        "memory: the peak of a process for each model, with its runtime",
    )
    lines = [
        f"{to_printable(found.run)}, compressed from {to_printable(found.original)}",
        *[line for each in how for line in textwrap.wrap(each, WIDTH, break_long_words=False)],
    ]
    tables = map(format_table, found.make_tables())
    warnings = [f"warning: {each}" for each in found.list_warnings()]
    return "\n\n".join(filter(None, ["\n".join(lines), *tables, "\n".join(warnings)]))
