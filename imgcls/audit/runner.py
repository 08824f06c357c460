"""Runs the checks of an audit, and applies their policies. Light zone."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from imgcls import parts
from imgcls.audit.audit_report import AuditReport, ReportedFinding, decide_outcome
from imgcls.checks import EXAMPLES, AuditedData, CheckSettings, Finding, format_count
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

_UNCHECKED = "audit of the data: nothing was checked, since data.audit is empty"
MAX_EXAMPLES = 5
"""How many examples of a finding are printed."""


def run_checks(
    store: Store, split: Split, checks: list[CheckSettings]
) -> tuple[AuditReport, Split]:
    """Run checks in order, each on the images that earlier ones did not drop.

    Images that an earlier audit dropped are checked again, so that the same checks always give the
    same report and split.

    Returns:
        The report, and the split without dropped images.

    Raises:
        DataError: after dropping images, a split is empty, or a class has no training images.
    """
    original = _restore_dropped(split)
    findings: list[tuple[CheckSettings, Finding]] = []
    remaining = AuditedData(store, original)
    for settings in checks:
        for finding in parts.load_for("checks", settings).find(settings, remaining):
            findings.append((settings, finding))
        dropped = [
            images
            for check, finding in findings
            if check is settings
            for images in _list_dropped(check, finding)
        ]
        if dropped:
            remaining = AuditedData(store, _drop_images(remaining.split, dropped))
    _require_not_empty(store, original, remaining.split)
    reported = [
        ReportedFinding(
            check=settings.name,
            policy=settings.policy,
            count=finding.count,
            message=finding.message,
            examples=finding.examples,
            leakage=finding.leakage,
            dropped=sum(map(len, _list_dropped(settings, finding))),
        )
        for settings, finding in findings
    ]
    report = AuditReport(
        outcome=decide_outcome(reported),
        checks={settings.name: settings.policy for settings in checks},
        findings=reported,
    )
    return report, _update_pixel_statistics(store, split, remaining.split)


def save_report(report: AuditReport, store: Store, key: str) -> None:
    """Write the report of a split to the store's manifest; `key` is that of the split."""
    with files.hold_lock(store.folder.parent / ".lock"):
        manifest = open_store(store.folder).manifest
        audits = {**manifest.audits, key: report}
        write_record(store.folder / "manifest.json", manifest.model_copy(update={"audits": audits}))


def require_not_failed(report: AuditReport) -> None:
    """Raise an error if the audit failed.

    Raises:
        DataError: checks with the policy `fail` have findings; the error lists all of these.
    """
    failed = [finding for finding in report.findings if finding.policy == "fail"]
    if failed:
        lines = [line for finding in failed for line in _format_finding(finding)]
        title = (
            f"the audit of the data failed with {len(failed)}"
            f" finding{'s' if len(failed) > 1 else ''}:"
        )
        advice = (
            "repair the data, or set another policy for these checks in data.audit; `imgcls audit`"
            " shows all findings"
        )
        raise DataError("\n".join([title, *[f"  {line}" for line in lines], advice]))


def format_report(report: AuditReport, arguments: str | None) -> str:
    """Format a report as text: what was found, a line per check, the findings with leakage first,
    and what to do next.

    Args:
        arguments: the experiment and its overrides, as they follow a command in a shell; None if
            runs are trained already.
    """
    counts = dict.fromkeys(report.checks, 0)
    for finding in report.findings:
        counts[finding.check] += finding.count
    rows = [
        {"check": name, "policy": policy, "found": counts[name]}
        for name, policy in report.checks.items()
    ]
    findings = sorted(report.findings, key=lambda finding: not finding.leakage)
    messages = [line for finding in findings for line in _format_finding(finding)]
    sections = [
        _format_outcome(report),
        format_table(rows),
        "\n".join(messages),
        _suggest_next(report, arguments),
    ]
    return "\n\n".join(filter(None, sections))


def _format_outcome(report: AuditReport) -> str:
    """Return the headline: how much was found by which checks, leakage first."""
    if not report.findings:
        checks = format_count(len(report.checks), "check")
        return f"audit of the data: no findings of {checks}" if report.checks else _UNCHECKED
    leaking = {finding.check: " (LEAKAGE)" for finding in report.findings if finding.leaves_leakage}
    names = dict.fromkeys([*leaking, *(finding.check for finding in report.findings)])
    checks = ", ".join(f"{name}{leaking.get(name, '')}" for name in names)
    dropped, failed = sum(finding.dropped for finding in report.findings), report.failed_checks
    clauses = [
        f"{format_count(len(report.findings), 'finding')} of {checks}",
        f"{format_count(dropped, 'image')} dropped" if dropped else "",
        f"FAILED by the policy of {', '.join(failed)}" if failed else "",
    ]
    return f"audit of the data: {'; '.join(filter(None, clauses))}"


def _format_finding(finding: ReportedFinding) -> list[str]:
    dropped = f"; dropped: {finding.dropped:,}" if finding.dropped else ""
    examples = [
        " = ".join(group[:4]) + (" = ..." if len(group) > 4 else "") for group in finding.examples
    ]
    lines = [f"{finding.check}: {finding.message}{dropped}"]
    # The message has the count; how many more examples there are would be another number.
    if examples:
        lines.append(f"  such as {to_printable(', '.join(examples[:MAX_EXAMPLES]))}")
    return lines


def _suggest_next(report: AuditReport, arguments: str | None) -> str:
    names = parts.list_names("checks") if report.checks else []
    unchecked = [name for name in names if name not in report.checks]
    skipped = (
        f"not checked, since data.audit does not list them: {', '.join(unchecked)}\n"
        if unchecked
        else ""
    )
    if report.outcome == "failed":
        again = f", and run `imgcls prepare {arguments}` again" if arguments else ""
        return f"{skipped}next: repair the data, or set another policy in data.audit{again}"
    if report.outcome == "no findings":
        return f"{skipped}next: imgcls train {arguments}" if arguments else skipped.rstrip()
    leakage = (
        "leakage makes evaluation better than the model is: set policy: drop for these checks in"
        " data.audit to leave the copies out\n"
        if any(finding.leaves_leakage for finding in report.findings)
        else ""
    )
    train = (
        f", or train with the data as it is: `imgcls train {arguments}`; after it, `imgcls audit"
        " RUN` finds likely label errors"
        if arguments
        else ""
    )
    return (
        f"{skipped}{leakage}next: look at the examples (--json has up to {EXAMPLES} of each), and"
        f" set policies (note, drop, fail) in data.audit{train}"
    )


def _list_dropped(settings: CheckSettings, finding: Finding) -> "list[numpy.ndarray]":
    """Return the indices that a finding drops, as a list of one array or an empty list."""
    return [finding.drop] if settings.policy == "drop" and finding.drop is not None else []


def _drop_images(split: Split, images: "list[numpy.ndarray]") -> Split:
    """Move images from a split to its dropped ones."""
    import numpy

    before = [] if split.dropped is None else [split.dropped]
    dropped = numpy.unique(numpy.concatenate([*before, *images]))
    return _replace_indices(
        split, lambda _, indices: numpy.setdiff1d(indices, dropped, assume_unique=True), dropped
    )


def _restore_dropped(split: Split) -> Split:
    """Return the split as it was assigned, including dropped images."""
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
    compute: "Callable[[int, numpy.ndarray], numpy.ndarray]",
    dropped: "numpy.ndarray | None",
) -> Split:
    """Return a copy with other indices.

    Args:
        compute: returns the new indices from the position in `SPLITS` and the old indices.
    """
    train, validation, test = (
        compute(number, split.get_indices(name)) for number, name in enumerate(SPLITS)
    )
    return replace(split, train=train, validation=validation, test=test, dropped=dropped)


def _update_pixel_statistics(store: Store, before: Split, after: Split) -> Split:
    """Compute mean and std of the training images again, if some were dropped or restored."""
    import numpy

    if numpy.array_equal(before.train, after.train):
        return after
    mean, std = compute_pixel_statistics(store.open_reader(after.geometry), after.train)
    return replace(after, mean=mean, std=std)


def _require_not_empty(store: Store, before: Split, after: Split) -> None:
    """Raise an error if dropping images emptied a split, or a class of the training split."""
    old, new = (AuditedData(store, split).count_classes("train") for split in (before, after))
    empty = [
        f"class {name}"
        for name, before_count, after_count in zip(
            store.classes, old.tolist(), new.tolist(), strict=True
        )
        if before_count and not after_count
    ]
    empty += [
        f"the {split} split"
        for split in SPLITS
        if len(before.get_indices(split)) and not len(after.get_indices(split))
    ]
    if empty:
        raise DataError(
            f"dropping what the audit found leaves no image for {format_some(empty)}; add images,"
            " or set another policy than drop in data.audit"
        )
