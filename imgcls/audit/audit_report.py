"""What an audit found, as the store's manifest holds it for each split. Light zone."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from imgcls.io.records import Record

Policy = Literal["note", "drop", "fail"]


class ReportedFinding(Record):
    """One thing that a check found."""

    check: str
    """The name of the check."""
    policy: Policy
    """What its settings said to do about it."""
    count: Annotated[int, Field(ge=0)]
    """How many images it is about, or classes where the check is of classes."""
    message: str
    """What was found, in words."""
    examples: list[list[str]]
    """Ids of images, at most 20; those of one inner list belong together, such as copies."""
    dropped: Annotated[int, Field(ge=0)]
    """How many images were left out of all splits because of it."""


class AuditReport(Record):
    """What the checks of a split found."""

    passed: bool
    """false where a check whose policy is `fail` found something."""
    checks: dict[str, Policy]
    """The checks that ran, in their order, each with its policy."""
    findings: list[ReportedFinding]
    """What they found, in their order."""

    @model_validator(mode="after")
    def _require_checks_of_findings(self) -> Self:
        for finding in self.findings:
            if finding.check not in self.checks:
                raise ValueError(f"checks.{finding.check} is missing, but it has findings")
        return self
