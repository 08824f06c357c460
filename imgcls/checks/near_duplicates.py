"""Near-duplicates: similar images with the same label, within a split and across splits (Barz and
Denzler, 2020, "ciFAIR").

Similar are images with near perceptual hashes (imgcls/image/image_statistics.py) and thumbnails
(imgcls/checks/_similarity.py), such as copies saved at another quality, size or brightness. Details
finer than an eighth of the image do not count. Groups of only exact duplicates are left to
exact_duplicates, and images with different labels to label_conflicts.

Light zone.
"""

from imgcls.checks import AuditedData, Finding, _copies
from imgcls.checks._similarity import SimilaritySettings


class Settings(SimilaritySettings):
    """The settings of near-duplicates."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the near copies within splits, and across splits."""
    import numpy

    from imgcls.checks._similarity import number_equal_rows

    group, _ = audited.find_similar(settings.similarity)
    words = numpy.ascontiguousarray(audited.image_statistics["digest"]).view("<u8").reshape(-1, 2)
    _, first = number_equal_rows([group, *words.T])
    contents = numpy.bincount(group[first], minlength=len(group))
    similar = numpy.where(contents[group] > 1, group, len(group) + numpy.arange(len(group)))
    return _copies.find_copies(audited, similar, "a near copy")
