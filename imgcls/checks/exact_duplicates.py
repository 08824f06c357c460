"""Exact duplicates: images with equal content and label, within a split and across splits.

Content is the digest of the stored bytes: of pixels at the stored size, or of the image file. About
1 % of the images in CIFAR's test splits are exact copies of training images (Barz and Denzler,
2020, "Do we train on test data? Purging CIFAR of near-duplicates", section 4).

Light zone.
"""

from imgcls.checks import AuditedData, CheckSettings, Finding, _copies


class Settings(CheckSettings):
    """The settings of exact duplicates."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the copies within splits, and across splits."""
    import numpy

    from imgcls.checks._similarity import number_equal_rows

    words = numpy.ascontiguousarray(audited.image_statistics["digest"]).view("<u8").reshape(-1, 2)
    group, _ = number_equal_rows([audited.labels, *words.T])
    return _copies.find_copies(audited, group, "an exact copy")
