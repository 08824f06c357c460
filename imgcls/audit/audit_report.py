"""The report of an audit, which the store's manifest holds for each split. Light zone."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from imgcls.io.records import Record

Policy = Literal["note", "drop", "fail"]
Outcome = Literal["no findings", "findings", "failed"]


class ReportedFinding(Record):
    """A problem that a check found."""

    check: str
    """The name of the check."""
    policy: Policy
    """The policy of the check."""
    count: Annotated[int, Field(ge=0)]
    """The number of images concerned, or of classes if the check is about classes."""
    message: str
    """A description of the problem."""
    examples: list[list[str]]
    """At most 20 image ids; each inner list is a group, such as the copies of one image."""
    leakage: bool
    """Whether held-out images are in another split, too."""
    dropped: Annotated[int, Field(ge=0)]
    """The number of images that the finding removed from all splits."""

    @property
    def leaves_leakage(self) -> bool:
        """Whether held-out images are in another split, and the copies were not dropped."""
        return self.leakage and not self.dropped


class AuditReport(Record):
    """The findings of all checks on a split."""

    outcome: Outcome
    """failed: a check with the policy `fail` has findings, so nothing can be trained; findings:
    others have, which may be leakage; or no findings."""
    checks: dict[str, Policy]
    """The checks in the order in which they ran, each with its policy."""
    findings: list[ReportedFinding]
    """The findings, in the order of the checks."""

    @property
    def failed_checks(self) -> list[str]:
        """The checks with the policy `fail` that have findings."""
        failed = [finding.check for finding in self.findings if finding.policy == "fail"]
        return list(dict.fromkeys(failed))

    @model_validator(mode="after")
    def _require_consistency(self) -> Self:
        for finding in self.findings:
            if finding.check not in self.checks:
                raise ValueError(f"checks.{finding.check} is missing, but it has findings")
        expected = decide_outcome(self.findings)
        if self.outcome != expected:
            raise ValueError(f"outcome is {self.outcome!r}, but by the findings it is {expected!r}")
        return self


def decide_outcome(findings: Sequence[ReportedFinding]) -> Outcome:
    """Return the outcome of an audit with these findings."""
    if any(finding.policy == "fail" for finding in findings):
        return "failed"
    return "findings" if findings else "no findings"
