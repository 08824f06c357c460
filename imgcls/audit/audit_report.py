"""The report of an audit, which the store's manifest holds for each split. Light zone."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from imgcls.io.records import Record

Policy = Literal["note", "drop", "fail"]


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
    dropped: Annotated[int, Field(ge=0)]
    """The number of images that the finding removed from all splits."""


class AuditReport(Record):
    """The findings of all checks on a split."""

    passed: bool
    """false if a check with the policy `fail` has findings."""
    checks: dict[str, Policy]
    """The checks in the order in which they ran, each with its policy."""
    findings: list[ReportedFinding]
    """The findings, in the order of the checks."""

    @model_validator(mode="after")
    def _require_checks_of_findings(self) -> Self:
        for finding in self.findings:
            if finding.check not in self.checks:
                raise ValueError(f"checks.{finding.check} is missing, but it has findings")
        return self
