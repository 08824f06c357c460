"""Label conflicts: equal or similar images with different labels, of which one must be wrong.

See Northcutt, Athalye and Mueller, 2021, "Pervasive label errors in test sets", section 3. The
check cannot know which label is wrong, so `policy: drop` leaves all of them out.

Light zone.
"""

from imgcls.checks import AuditedData, Finding, format_count
from imgcls.checks._similarity import SimilaritySettings


class Settings(SimilaritySettings):
    """The settings of label conflicts."""


def find(settings: Settings, audited: AuditedData) -> list[Finding]:
    """Return the images that are similar to one with another label."""
    import numpy

    labels, (_, group) = audited.labels, audited.find_similar(settings.similarity)
    order = numpy.lexsort([audited.indices, group])
    lowest, highest = numpy.full(len(group), len(audited.store.classes)), numpy.full(len(group), -1)
    numpy.minimum.at(lowest, group, labels)
    numpy.maximum.at(highest, group, labels)
    members = order[(lowest < highest)[group[order]]]
    if not len(members):
        return []
    indices = audited.indices[members]
    examples = audited.collect_examples(indices, group[members])
    groups = format_count(len(numpy.unique(group[members])), "group")
    message = (
        f"{format_count(len(members), 'image')} in {groups} are similar but have different labels"
    )
    return [Finding(message, len(members), examples, numpy.sort(indices))]
