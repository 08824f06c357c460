"""The verb `audit`: the audit report of prepared data, and likely label errors. Light zone."""

from collections.abc import Sequence
from pathlib import Path

from imgcls.audit import label_errors
from imgcls.audit import runner as audits
from imgcls.audit.audit_report import AuditReport
from imgcls.audit.label_errors import LabelErrors
from imgcls.errors import DataError
from imgcls.experiment_file import read_experiment
from imgcls.family import is_family
from imgcls.io.records import Record
from imgcls.run_lookup import expand_families, open_family, open_finished_run
from imgcls.store import lookup
from imgcls.store.store import Store


class DataAudit(Record):
    """The audit report of prepared data, and likely label errors."""

    dataset: str
    """The name of the dataset part."""
    folder: str
    """The folder of the store."""
    fingerprint: str
    """The fingerprint of the store."""
    split: str
    """The key of the split."""
    audit: AuditReport
    """The findings of the checks."""
    label_errors: LabelErrors | None
    """Likely label errors; null without a run."""


def audit(target: Path, runs: Sequence[Path] = (), overrides: Sequence[str] = ()) -> DataAudit:
    """Return the audit report of prepared data; with runs, also likely label errors.

    Args:
        target: an experiment file, or the folder of a run or family to use as the first of `runs`.
        runs: folders of runs and families on the same data. The probabilities of images that
            several runs held out are averaged; the folds of a family hold out every image once.
        overrides: of the experiment, `a.b=value`.

    Raises:
        UserError: the experiment or a run does not exist.
        DataError: the data is not prepared or audited, or a run has no predictions of held-out
            images, or was trained on other data.
    """
    store, key = _open_data(target, overrides)
    folders = [target, *runs] if target.is_dir() else runs
    return DataAudit(
        dataset=store.dataset,
        folder=str(store.folder),
        fingerprint=store.fingerprint,
        split=key,
        audit=_read_report(store, key),
        label_errors=label_errors.find_label_errors(store, expand_families(folders))
        if folders
        else None,
    )


def _open_data(target: Path, overrides: Sequence[str]) -> tuple[Store, str]:
    """Return the store of a run, a family or an experiment, and the key of its split."""
    if is_family(target):
        family, experiment = open_family(target, overrides)
        store = lookup.open_run_store(family.runs[0].data, experiment.data.store_dir)[0]
        return store, lookup.compute_split_key(experiment.data, experiment.split_seed)
    if target.is_dir():
        run, experiment = open_finished_run(target, overrides)
        store, split = lookup.open_run_store(run.data, experiment.data.store_dir)
        return store, split.key
    experiment = read_experiment(target, overrides)
    key = lookup.compute_split_key(experiment.data, experiment.split_seed)
    return lookup.find_audited(experiment), key


def format_report(report: DataAudit, arguments: str) -> str:
    """Format the result of `audit` as text.

    Args:
        arguments: the target and its overrides, as they follow a command in a shell.
    """
    to_train = None if report.label_errors else arguments
    sections = [
        f"{report.dataset}, in {report.folder}",
        audits.format_report(report.audit, to_train),
    ]
    if report.label_errors:
        sections.append(label_errors.format_label_errors(report.label_errors))
    return "\n\n".join(sections)


def _read_report(store: Store, key: str) -> AuditReport:
    if key not in store.manifest.audits:
        raise DataError(
            f"{store.folder} has no audit of this split; run `imgcls prepare` again on the"
            " experiment"
        )
    return store.manifest.audits[key]
