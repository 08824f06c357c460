"""The verb `export`: converts a run's model to other formats, and compares each with it. Light
zone.

TensorFlow and the converters are imported once everything else is checked.
"""

from collections.abc import Sequence

from imgcls import parts
from imgcls.config import Experiment
from imgcls.device import choice
from imgcls.errors import GateError, UserError
from imgcls.export import folder
from imgcls.export.images import open_images
from imgcls.export.record import ExportComparison
from imgcls.exporters import ExporterSettings
from imgcls.family import Family
from imgcls.io.terminal import to_printable
from imgcls.report.tables import format_pairs, format_table
from imgcls.run import Run
from imgcls.run_lookup import require_finished
from imgcls.training.model_description import read_description

_SHOWN = 20
"""Classes whose recall changed that are printed; comparison.json has all."""


def export(
    run_or_family: Run | Family, experiment: Experiment | None = None, formats: Sequence[str] = ()
) -> list[ExportComparison]:
    """Write a run's model in other formats, each if it predicts what model.keras does.

    Args:
        experiment: its `data.store_dir` is where the run's store is; None for that of the run.
        formats: names of exporters, at least one.

    Returns:
        The comparison of each format, the content of comparison.json.

    Raises:
        GateError: an artifact predicts something else; it was not written, while others were. The
            error's `result` is what would have been returned.
        UserError: a format is unknown, lacks an operation, or needs an extra; or it is a family.
        DataError: the run is not finished, its model is damaged, or there are no images.
        OutOfMemoryError: memory ran out.
    """
    exporters = _find_exporters(formats)
    run = _require_run(run_or_family)
    require_finished(run)
    _require_convertible(run, exporters)
    experiment = experiment or run.experiment
    description = read_description(run.model_file)
    choice.use_for_prediction(experiment.train.strategy.get_device(), experiment.train.gpu_memory)
    results, failures = [], []
    with (
        folder.lock_exports(run),
        open_images(run, experiment, description.resize) as images,
    ):
        from imgcls.export import writer

        batch_size = experiment.train.batch_size
        with writer.open_reference(run, description, images, batch_size) as reference:
            for settings in exporters:
                try:
                    results.append(writer.export_format(run, settings, reference))
                except GateError as error:
                    results.append(error.result)
                    failures.append(str(error))
    if failures:
        raise GateError("\n".join(failures), results)
    return results


def _find_exporters(formats: Sequence[str]) -> list[ExporterSettings]:
    """Return the settings of exporters, after checking that what they need is installed."""
    known = parts.list_names("exporters")
    if not formats:
        raise UserError(f"no format is given; give --format, one of {', '.join(known)}")
    unknown = [name for name in formats if name not in known]
    if unknown:
        lines = [
            f"unknown format '{name}'; allowed: {', '.join(known)}{parts.suggest(name, known)}"
            for name in unknown
        ]
        raise UserError("\n".join(lines))
    names = dict.fromkeys(formats)
    exporters = [parts.make_default_settings("exporters", name) for name in names]
    for settings in exporters:
        settings.require_packages()
    return exporters


def _require_run(run_or_family: Run | Family) -> Run:
    if isinstance(run_or_family, Family):
        folders = ", ".join(str(run.folder) for run in run_or_family.runs)
        raise UserError(f"{run_or_family.folder} is a family; export one of its runs: {folders}")
    return run_or_family


def _require_convertible(run: Run, exporters: Sequence[ExporterSettings]) -> None:
    """Check that a run's model can be written in formats: that of a quantized run only as it is."""
    others = [each.name for each in exporters if each.name != "litert"]
    if run.model_file == run.litert_file and others:
        made = run.compression
        original = f", {made.original}" if made else ""
        raise UserError(
            f"{run.folder} was compressed to a LiteRT file, {run.model_file}, which cannot be"
            f" converted to {' or '.join(others)}; give --format litert, which writes that file"
            f" with its metadata, or export the run that it was made of{original}"
        )


def format_report(results: Sequence[ExportComparison]) -> str:
    """Return the comparisons as text: for each what was compared, and a table of the numbers."""
    return "\n\n".join(map(_format_comparison, results))


def _format_comparison(found: ExportComparison) -> str:
    outcome = "not written" if found.failed else "written"
    of = "split" if found.images_from == "store" else "images that the run keeps"
    header = (
        f"{to_printable(found.folder)}: {outcome}\ncompared with {found.reference} on"
        f" {found.images:,} images of the {found.split} {of}, {found.threads} threads"
    )
    sections = [header, format_table(found.make_rows())]
    changed = [each for each in found.recall if each.before != each.after]
    if changed:
        rows = [each.model_dump() for each in changed]
        sections.append(f"classes whose recall changed\n\n{format_table(rows, _SHOWN)}")
    if found.as_trained:
        trained = found.as_trained.model_dump()
        sections.append(
            f"compared with model.keras in its own precision\n\n{format_pairs(trained)}"
        )
    return "\n\n".join(sections)
