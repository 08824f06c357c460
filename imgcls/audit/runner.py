"""The audit of the data: run the checks, do what their policies say, and report it. Light zone."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.audit.audit_report import AuditReport, ReportedFinding
from imgcls.checks import EXAMPLES, AuditedData, CheckSettings, Finding
from imgcls.datasets import SPLITS
from imgcls.errors import DataError
from imgcls.io import files
from imgcls.io.records import write_record
from imgcls.io.terminal import format_some, to_printable
from imgcls.report.tables import format_table
from imgcls.store.pixel_statistics import compute_pixel_statistics
from imgcls.store.split_file import Split
from imgcls.store.store import Store, open_store

if TYPE_CHECKING:
    import numpy

_SHOWN = 5


def run_checks(
    store: Store, split: Split, checks: list[CheckSettings]
) -> tuple[AuditReport, Split]:
    """Run checks one after the other, each on what those before it left; return what they found,
    and the split without dropped images.

    What an earlier audit dropped from the split is checked anew, so that the same checks give the
    same report and the same split again.

    Raises:
        DataError: dropping leaves a class without a training image, or a split without any.
    """
    whole = _restore_dropped(split)
    findings: list[tuple[CheckSettings, Finding]] = []
    left = AuditedData(store, whole)
    for settings in checks:
        for finding in parts.load_for("checks", settings).find(settings, left):
            findings.append((settings, finding))
        dropped = [
            images
            for check, finding in findings
            if check is settings
            for images in _list_dropped(check, finding)
        ]
        if dropped:
            left = AuditedData(store, _drop_images(left.split, dropped))
    _require_not_empty(store, whole, left.split)
    reported = [
        ReportedFinding(
            check=settings.name,
            policy=settings.policy,
            count=finding.count,
            message=finding.message,
            examples=finding.examples,
            dropped=sum(map(len, _list_dropped(settings, finding))),
        )
        for settings, finding in findings
    ]
    report = AuditReport(
        passed=all(settings.policy != "fail" for settings, _ in findings),
        checks={settings.name: settings.policy for settings in checks},
        findings=reported,
    )
    return report, _update_pixel_statistics(store, split, left.split)


def save_report(report: AuditReport, store: Store, key: str) -> None:
    """Write what the audit of a split found to the store's manifest, beside the other audits."""
    with files.hold_lock(store.folder.parent / ".lock"):
        manifest = open_store(store.folder).manifest
        audits = {**manifest.audits, key: report}
        write_record(store.folder / "manifest.json", manifest.model_copy(update={"audits": audits}))


def require_passed(report: AuditReport) -> None:
    """Refuse data in which a check whose policy is `fail` found something.

    Raises:
        DataError: naming all of these findings.
    """
    failed = [finding for finding in report.findings if finding.policy == "fail"]
    if failed:
        lines = [line for finding in failed for line in _format_finding(finding)]
        title = (
            f"the audit of the data failed with {len(failed)}"
            f" finding{'s' if len(failed) > 1 else ''}:"
        )
        advice = (
            "repair the data, or set another policy of these checks in data.audit; `imgcls audit`"
            " shows all that was found"
        )
        raise DataError("\n".join([title, *[f"  {line}" for line in lines], advice]))


def format_report(report: AuditReport) -> str:
    """Return a report for people: a line a check, then what was found, then what to do next."""
    counts = dict.fromkeys(report.checks, 0)
    for finding in report.findings:
        counts[finding.check] += finding.count
    rows = [
        {"check": name, "policy": policy, "found": counts[name]}
        for name, policy in report.checks.items()
    ]
    messages = [line for finding in report.findings for line in _format_finding(finding)]
    sections = [format_table(rows), "\n".join(messages), _suggest_next(report)]
    return "\n\n".join(filter(None, sections))


def _format_finding(finding: ReportedFinding) -> list[str]:
    dropped = f"; dropped: {finding.dropped:,}" if finding.dropped else ""
    examples = [
        " = ".join(group[:4]) + (" = ..." if len(group) > 4 else "") for group in finding.examples
    ]
    lines = [f"{finding.check}: {finding.message}{dropped}"]
    # The message has the count; how many more examples there are would be another number.
    return lines + ([f"  such as {to_printable(', '.join(examples[:_SHOWN]))}"] if examples else [])


def _suggest_next(report: AuditReport) -> str:
    unchecked = [name for name in parts.list_names("checks") if name not in report.checks]
    skipped = (
        f"not checked, since data.audit does not list them: {', '.join(unchecked)}\n"
        if unchecked
        else ""
    )
    if not report.passed:
        return (
            f"{skipped}failed: repair the data, or set another policy in data.audit, and run"
            " `imgcls prepare` again"
        )
    if not report.findings:
        return f"{skipped}passed without a finding; next: `imgcls train`"
    return (
        f"{skipped}passed; look at the examples (--json has up to {EXAMPLES} of each), and set"
        " policies (note, drop, fail) in data.audit if need be; next: `imgcls train`, and after it"
        " `imgcls audit RUN` for likely label errors"
    )


def _list_dropped(settings: CheckSettings, finding: Finding) -> "list[numpy.ndarray]":
    """Return the images that a finding drops: one array, or none."""
    return [finding.drop] if settings.policy == "drop" and finding.drop is not None else []


def _drop_images(split: Split, found: "list[numpy.ndarray]") -> Split:
    """Return a split without images, which are noted in it as dropped."""
    import numpy

    before = [] if split.dropped is None else [split.dropped]
    dropped = numpy.unique(numpy.concatenate([*before, *found]))
    return _replace_indices(
        split, lambda _, indices: numpy.setdiff1d(indices, dropped, assume_unique=True), dropped
    )


def _restore_dropped(split: Split) -> Split:
    """Return a split as it was assigned: dropped images are back in it."""
    import numpy

    dropped = split.dropped
    if dropped is None:
        return split
    assignments = split.assignments[dropped]
    return _replace_indices(
        split,
        lambda number, indices: numpy.union1d(indices, dropped[assignments == number]),
        dropped=None,
    )


def _replace_indices(
    split: Split,
    choose: "Callable[[int, numpy.ndarray], numpy.ndarray]",
    dropped: "numpy.ndarray | None",
) -> Split:
    """Return a split with other images.

    Args:
        choose: from the number of a part in `SPLITS` and its indices to the new ones.
    """
    train, validation, test = (
        choose(number, split.indices(name)) for number, name in enumerate(SPLITS)
    )
    return replace(split, train=train, validation=validation, test=test, dropped=dropped)


def _update_pixel_statistics(store: Store, before: Split, after: Split) -> Split:
    """Return a split with the mean and std of the training images that are left, which
    `before` has if its images are the same.
    """
    import numpy

    if numpy.array_equal(before.train, after.train):
        return after
    mean, std = compute_pixel_statistics(store.reader(after.geometry), after.train)
    return replace(after, mean=mean, std=std)


def _require_not_empty(store: Store, before: Split, after: Split) -> None:
    had, has = (AuditedData(store, split).count_classes("train") for split in (before, after))
    empty = [
        f"class {name}"
        for name, old, new in zip(store.classes, had.tolist(), has.tolist(), strict=True)
        if old and not new
    ]
    empty += [
        f"the {split} split"
        for split in SPLITS
        if len(before.indices(split)) and not len(after.indices(split))
    ]
    if empty:
        raise DataError(
            f"dropping what the audit found leaves no image for {format_some(empty)}; add images,"
            " or set another policy than drop in data.audit"
        )
