"""Where a run comes from, for its page: the audit of its data, and its environment. Light zone."""

import os
import shlex

from imgcls.audit.audit_report import AuditReport
from imgcls.errors import DataError
from imgcls.figures import Subject
from imgcls.report import html
from imgcls.report.headline import read_environment
from imgcls.store import lookup


def render_audit(subject: Subject) -> str:
    """Return the findings of the audit of the run's data, from its store."""
    if not os.path.lexists(subject.run.data_file):
        return html.render_paragraph("The run has no data yet.")
    data = subject.data
    try:
        store = lookup.open_store_of(
            data.dataset, data.fingerprint, subject.experiment.data.store_dir
        )
    except DataError as error:
        return html.render_paragraph(f"Not available: {error}")
    report = store.manifest.audits.get(data.split)
    if report is None:
        return html.render_paragraph("The data of this split was not audited.")
    return _render_report(report)


def _render_report(report: AuditReport) -> str:
    checks = ", ".join(html.to_words(name) for name in report.checks)
    lines = [html.render_paragraph(f"{report.outcome} of {len(report.checks)} checks: {checks}")]
    rows = [
        {
            "check": html.to_words(finding.check),
            "policy": finding.policy,
            "count": finding.count,
            "dropped": finding.dropped,
            "finding": finding.message,
        }
        for finding in report.findings
    ]
    return "\n".join([*lines, *([html.render_table(rows)] if rows else [])])


def render_environment(subject: Subject) -> str:
    """Return what surrounded the last start of the training."""
    environment = read_environment(subject)
    if environment is None:
        return html.render_paragraph("The run has no record of its environment.")
    git = environment.git
    facts = {
        "started": environment.started,
        "command": shlex.join(environment.command),
        "seed": str(environment.seed),
        "commit": f"{git.commit}{' with changes' if git.dirty else ''}" if git else "none",
        "host": environment.host,
        "platform": environment.platform,
        "devices": ", ".join(environment.devices),
        **environment.list_properties(),
        "earlier starts": str(len(environment.earlier_starts)),
    }
    return html.render_folded("Versions, devices and host", html.render_pairs(facts))
