"""The verb `tune`: searches the values of an experiment's keys. Light zone.

Every trial is `imgcls train` in a process of its own. It runs the verb `compare` for a
confirmation.
"""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from imgcls.config import Experiment
from imgcls.errors import UserError
from imgcls.io import restart, terminal
from imgcls.io.signals import StopRequest, catch_signals
from imgcls.store import lookup
from imgcls.store.manifest import DataDescription
from imgcls.tune_config import Tune
from imgcls.tuning import confirm as confirmation
from imgcls.tuning import page, results, slots, study, text_report
from imgcls.tuning.folder import StudyFolder, list_studies, make_next
from imgcls.tuning.job import IMGCLS
from imgcls.tuning.leases import GRACE
from imgcls.tuning.progress import Progress
from imgcls.tuning.record import StudyRecord
from imgcls.tuning.scheduler import Scheduler
from imgcls.tuning.study import OpenStudy
from imgcls.verbs import compare
from imgcls.verbs.train import require_validation


def tune(
    experiment: Experiment,
    folder: Path | None = None,
    storage: str | None = None,
    jobs: int = 1,
    confirm: int | None = None,
    program: Sequence[str] = IMGCLS,
    grace: float = GRACE,
) -> StudyRecord:
    """Search the space of an experiment's section `tune`; or go on with a study.

    Args:
        folder: of the study; None for the newest unfinished one of this search, else a new one.
        storage: the address of a PostgreSQL database for several hosts; None for a file.
        jobs: how many trials run at once.
        confirm: the number of other seeds on which the best trial and the file's own values are
            then trained, tested once, and compared; None not to.
        program: the command line of a trial, before the words of its command.
        grace: seconds after which trials of another host that does not respond are taken over.

    Returns:
        The content of study.json. best.yaml and a page are written too.

    Raises:
        UserError: there is no section `tune`, Optuna is not installed, the study is of another
            search, the database cannot be reached, or every trial would fail.
        DataError: the data is not prepared.
        Interrupted: a signal stopped it, or the database was lost; the same call continues it.
    """
    found = _require_search(experiment)
    divided = slots.make_slots(jobs)
    data = _describe_data(experiment)
    where = _find_folder(experiment, found, folder, storage)
    opened = study.open_study(experiment, found, data, where, storage, grace)
    with contextlib.closing(opened):
        if confirm is not None:
            confirmation.require_possible(opened, confirm)
        with catch_signals(None, restart.get_start(), None) as stop:
            with Progress(opened) as progress:
                Scheduler(opened, divided, stop, program, progress.show).run()
            record = results.make_record(opened, opened.count_spent(), is_end=True)
            results.write_results(opened, record)
            if confirm is not None:
                record = _confirm(opened, record, confirm, stop, program)
    page.write_page(record)
    return record


def _confirm(
    opened: OpenStudy,
    record: StudyRecord,
    count: int,
    stop: StopRequest,
    program: Sequence[str],
) -> StudyRecord:
    """Return the record with what fresh seeds and the test split say of the best trial."""
    if not record.best:
        raise UserError("no trial is finished that keeps the limits; there is nothing to confirm")
    best, seeds = results.find_first(record), confirmation.list_seeds(opened, count)
    if best.number == 0:
        terminal.note("the file's own values are the best; there is nothing to confirm")
        return record
    if record.confirmation and record.confirmation.seeds == seeds:
        return record
    confirmation.train_families(opened, best, seeds, stop, program)
    families = confirmation.list_families(opened, best, count)
    output = confirmation.get_comparison_folder(opened, best, count)
    comparison = compare.compare(families, output=output)
    found = confirmation.describe(opened, best, seeds, comparison)
    record = record.model_copy(update={"confirmation": found})
    results.write_results(opened, record)
    return record


def _require_search(experiment: Experiment) -> Tune:
    if experiment.tune is None:
        raise UserError(
            "the experiment has no section tune; add one, such as tune: {space:"
            " {train.optimizer.learning_rate: {low: 1e-4, high: 1e-1, log: true}}, trials: 40}"
        )
    return experiment.tune


def _describe_data(experiment: Experiment) -> DataDescription:
    """Return the data that all trials share.

    Raises:
        UserError: there is no validation split.
        DataError: the data is not prepared.
    """
    store, split = lookup.find_store(experiment)
    require_validation(experiment, split)
    if not len(split.validation):
        raise UserError(
            "the validation split is empty, but a search chooses by it; set data.validation above 0"
        )
    return store.describe(split)


def _find_folder(
    experiment: Experiment, search: Tune, folder: Path | None, storage: str | None
) -> StudyFolder:
    """Return the folder of the study to go on with, or of a new one."""
    if folder is not None:
        return StudyFolder(folder)
    if storage is not None:
        raise UserError("--storage needs --study DIR, which is the same on all hosts that join")
    for found in list_studies(experiment.name)[-1:]:
        with terminal.note_unusable():
            if study.is_same(found, experiment) and not results.is_complete(found, search):
                terminal.note(f"continuing {found.folder}")
                return found
    return make_next(experiment.name)


format_report = text_report.format_report
