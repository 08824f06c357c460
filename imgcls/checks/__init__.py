"""Checks of the data: each file holds `Settings` (a `CheckSettings`) and `find(settings, audited)
-> list[Finding]`.

Checks use image statistics (imgcls/image/image_statistics.py), labels and splits, never pixels.
They run in the order of `data.audit`, each on the images that earlier ones did not drop;
imgcls/audit/runner.py applies their policies. Files whose names begin with an underscore are shared
code, not checks.

Light zone.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from imgcls.parts import PartSettings

if TYPE_CHECKING:
    import numpy

    from imgcls.checks._similarity import Similarity
    from imgcls.datasets import SplitName
    from imgcls.store.split_file import Split
    from imgcls.store.store import Store

EXAMPLES = 20
"""The largest number of ids in a finding."""


class CheckSettings(PartSettings):
    """The settings of every check; some allow fewer policies."""

    policy: Literal["note", "drop", "fail"] = "note"
    """note: report; drop: leave the images out of every split, but not of the store; fail: end
    `prepare` with exit code 3, after all checks."""


class ReportingSettings(CheckSettings):
    """The settings of checks whose findings are not images that can be left out."""

    policy: Literal["note", "fail"] = "note"
    """note: report; fail: end `prepare` with exit code 3, after all checks."""


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        message: what was found, in words.
        count: the number of images, or of classes in a check of classes.
        examples: at most `EXAMPLES` ids; those in one inner list belong together, such as the
            copies of one image.
        drop: the images that `policy: drop` leaves out, int64 indices into the store; None if there
            is nothing to drop.
        leakage: whether held-out images are in another split, too, so that evaluation finds the
            model better than it is.
    """

    message: str
    count: int
    examples: list[list[str]] = field(default_factory=list)
    drop: "numpy.ndarray | None" = None
    leakage: bool = False


@dataclass(frozen=True, eq=False)
class AuditedData:
    """What checks examine: a store and its splits."""

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
    def assignments(self) -> "numpy.ndarray":
        """The split of each image of `indices`, uint8 indices into `SPLITS`."""
        return self.split.assignments[self.indices]

    @cached_property
    def image_statistics(self) -> "numpy.ndarray":
        """The statistics of each image of `indices`, `image_statistics.COLUMNS`."""
        return self.store.image_statistics[self.indices]

    @property
    def labels(self) -> "numpy.ndarray":
        """The class number of each image of `indices`, int32."""
        return self.store.labels[self.indices]

    def count_classes(self, split: "SplitName") -> "numpy.ndarray":
        """Return the number of images of each class in a split, int64 (classes,)."""
        import numpy

        return numpy.bincount(
            self.store.labels[self.split.get_indices(split)], minlength=len(self.store.classes)
        )

    def find_similar(self, similarity: "Similarity") -> "tuple[numpy.ndarray, numpy.ndarray]":
        """Return `group_similar` of the images of `indices`, computed once for each similarity."""
        from imgcls.checks import _similarity

        if similarity not in self._groups:
            statistics = self.image_statistics
            self._groups[similarity] = _similarity.group_similar(
                statistics["hash"],
                statistics["thumbnail"],
                statistics["mean"],
                self.labels,
                similarity,
            )
        return self._groups[similarity]

    def make_finding(
        self, description: str, mask: "numpy.ndarray", noun: str = "image"
    ) -> list[Finding]:
        """Return a finding of the images of `indices` where `mask` is true, if there are any.

        The message is their number, `noun` and `description`.
        """
        found = self.indices[mask]
        message = f"{format_count(len(found), noun)} {description}"
        examples = [[name] for name in self.store.get_ids(found[:EXAMPLES])]
        return [Finding(message, len(found), examples, found)] if len(found) else []

    def collect_examples(
        self, indices: "numpy.ndarray", groups: "numpy.ndarray"
    ) -> list[list[str]]:
        """Return the ids of the first groups of images, together at most `EXAMPLES`.

        A group of which only one image is among these is left out.

        Args:
            indices: of images in the store, group by group.
            groups: the number of each image's group, int64 (n,).
        """
        examples: dict[int, list[str]] = {}
        for group, name in zip(
            groups[:EXAMPLES].tolist(), self.store.get_ids(indices[:EXAMPLES]), strict=True
        ):
            examples.setdefault(group, []).append(name)
        return [names for names in examples.values() if len(names) > 1]


def format_count(count: int, noun: str) -> str:
    """Return a number with its noun, such as "1 image" or "1,200 images"."""
    plural = "classes" if noun == "class" else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
