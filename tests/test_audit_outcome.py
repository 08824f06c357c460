"""The headline of an audit and its outcome: what was found, and never a leak that passed."""

import re

import pytest
from pydantic import ValidationError
from test_audit import make_store, noise_with_copies, run

from imgcls.audit import runner
from imgcls.audit.audit_report import AuditReport

LEAK = ("test/1", "train/2")
NEITHER_GOOD_NOR_BAD = r"(?i)\b(pass|passed|ok|success\w*|clean|good)\b"


@pytest.mark.parametrize(
    ("policies", "headline"),
    [
        ("exact_duplicates=note", "1 finding of exact_duplicates (LEAKAGE)"),
        ("exact_duplicates=drop", "1 finding of exact_duplicates; 1 image dropped"),
        (
            "exact_duplicates=fail label_conflicts=fail",
            "2 findings of exact_duplicates (LEAKAGE), label_conflicts; FAILED by the policy of"
            " exact_duplicates, label_conflicts",
        ),
        (
            "label_conflicts=fail",
            "1 finding of label_conflicts; FAILED by the policy of label_conflicts",
        ),
        (
            "label_conflicts=note exact_duplicates=note near_duplicates=note",
            "2 findings of exact_duplicates (LEAKAGE), label_conflicts",
        ),
        ("extreme_shapes=fail", "no findings of 1 check"),
        ("", "nothing was checked, since data.audit is empty"),
    ],
)
def test_the_headline_says_what_was_found_and_never_that_a_leak_passed(
    tmp_path, policies, headline
):
    store, split = make_store(tmp_path, noise_with_copies(LEAK, ("train/4", "train/5")))
    report, _, _ = run(store, split, *policies.split())
    text = runner.format_report(report, "photos.yaml")
    assert text.splitlines()[0] == f"audit of the data: {headline}"
    assert not re.search(NEITHER_GOOD_NOR_BAD, text)
    advice = "leakage makes evaluation better than the model is"
    assert (advice in text) == ("LEAKAGE" in headline and "FAILED" not in headline)
    assert [found.leakage for found in report.findings].count(True) == ("exact" in policies)


def test_leakage_is_the_first_finding_that_is_printed(tmp_path):
    images = noise_with_copies(LEAK, ("train/4", "train/6"))
    store, split = make_store(tmp_path, images)
    report, _, _ = run(store, split, "exact_duplicates=note")
    assert [found.leakage for found in report.findings] == [False, True]
    text = runner.format_report(report, "photos.yaml")
    assert text.index("LEAKAGE: 1 held-out image") < text.index("1 image repeats another")


def test_an_outcome_that_its_findings_contradict_is_not_read(tmp_path):
    store, split = make_store(tmp_path, noise_with_copies(LEAK))
    report, _, _ = run(store, split, "exact_duplicates=note")
    with pytest.raises(ValidationError, match="by the findings it is 'findings'"):
        AuditReport.model_validate({**report.model_dump(), "outcome": "no findings"})
