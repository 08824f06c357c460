"""Checks of the data: each file holds `Settings` (a `CheckSettings`) and `find(settings, audited)
-> list[Finding]`. Light zone.

Checks look at the store's measures of its images (imgcls/image/image_statistics.py), at labels and
at the cut into splits, never at pixels. They run one after the other in the order of `data.audit`,
each on the images that those before it left; imgcls/audit/runner.py does what their policies say.
Files whose name begins with an underscore are shared code, not checks. numpy is imported inside
functions.
"""

from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

    from imgcls.checks._similarity import Similarity
    from imgcls.store.split_file import Split
    from imgcls.store.store import Store

EXAMPLES = 20
"""The most ids that a finding shows."""


class CheckSettings(PartSettings):
    """What every check can be told."""

    policy: Literal["note", "fail"] = "note"
    """note: tell; fail: end `prepare` with exit code 3, after all checks."""


class DroppingSettings(CheckSettings):
    """What a check can be told whose findings are images that training can do without."""

    policy: Literal["note", "drop", "fail"] = "note"
    """note: tell; drop: leave the images out of every split, the store keeps them; fail: end
    `prepare` with exit code 3, after all checks.
    """


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        message: what was found, for people.
        count: how many images, or classes where the check is of classes.
        examples: ids, at most `EXAMPLES` of them; those of one inner list belong together, such as
            the copies of one image.
        drop: which images `policy: drop` leaves out, int64 indices into the store; None where there
            is nothing to drop.
    """

    message: str
    count: int
    examples: list[list[str]] = field(default_factory=list)
    drop: "numpy.ndarray | None" = None


@dataclass(frozen=True, eq=False)
class AuditedData:
    """What checks look at: a store, and a cut of it."""

    store: "Store"
    split: "Split"
    _groups: "dict[Similarity, Any]" = field(default_factory=dict, repr=False)

    @cached_property
    def indices(self) -> "numpy.ndarray":
        """The images of all splits, sorted int64 indices into the store."""
        import numpy

        return numpy.sort(
            numpy.concatenate([self.split.train, self.split.validation, self.split.test])
        )

    @cached_property
    def places(self) -> "numpy.ndarray":
        """The place in `SPLITS` of the split that each image of `indices` is in, uint8."""
        import numpy

        places = numpy.zeros(self.store.count, numpy.uint8)
        places[self.split.validation], places[self.split.test] = 1, 2
        return places[self.indices]

    @cached_property
    def image_statistics(self) -> "numpy.ndarray":
        """How each image of `indices` looks, `looks.COLUMNS`."""
        return self.store.image_statistics[self.indices]

    @property
    def labels(self) -> "numpy.ndarray":
        """The class number of each image of `indices`, int32."""
        return self.store.labels[self.indices]

    def class_counts(self, split: str) -> "numpy.ndarray":
        """Return the images of each class in a split, int64 (classes,)."""
        import numpy

        return numpy.bincount(
            self.store.labels[self.split.indices(split)], minlength=len(self.store.classes)
        )

    def find_similar(self, similarity: "Similarity") -> "tuple[numpy.ndarray, numpy.ndarray]":
        """Return `similarity.groups` of the images of `indices`, computed once for all checks that
        ask for the same similarity.
        """
        from imgcls.checks import _similarity as finder

        if similarity not in self._groups:
            looks = self.image_statistics
            self._groups[similarity] = finder.group_similar(
                looks["hash"], looks["thumbnail"], self.labels, similarity
            )
        return self._groups[similarity]

    def images(self, kind: str, chosen: "numpy.ndarray", noun: str = "image") -> list[Finding]:
        """Return a finding of the images of `indices` where `chosen` is true, each of them by
        itself; none where it is nowhere true.

        The message is their number, `noun` and `kind`.
        """
        found = self.indices[chosen]
        message = f"{format_count(len(found), noun)} {kind}"
        examples = [[name] for name in self.store.ids(found[:EXAMPLES])]
        return [Finding(message, len(found), examples, found)] if len(found) else []


def format_count(count: int, noun: str) -> str:
    """Return a number with its noun, such as "1 image" or "1,200 images"."""
    plural = "classes" if noun == "class" else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"


def format_names(names: list[str], limit: int = 10) -> str:
    """Return names as a text, of many the first ones and how many more."""
    shown = ", ".join(islice(names, limit))
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
