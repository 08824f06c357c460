"""Images that are to be divided among sides: splits, or folds. Light zone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgcls import seeds

if TYPE_CHECKING:
    import numpy

UNASSIGNED = -1
"""In an array of sides: still to be decided."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Images that are to be divided.

    Attributes:
        classes: the number of classes.
        labels: class numbers, int (n,).
        groups: numbers of groups, from 0 on, int64 (n,); an image without a group is one of its
            own.
        given: int64 (n,): the side that an image has already, or `OPEN`.
        order: uint64 (n,): the images of a class are dealt in the order of these numbers.
    """

    classes: int
    labels: "numpy.ndarray"
    groups: "numpy.ndarray"
    assigned: "numpy.ndarray"
    order: "numpy.ndarray"

    def images(self, chosen: "numpy.ndarray") -> "numpy.ndarray":
        """Return how many of some images (bool, n) each class has, int64 (classes,)."""
        import numpy

        return numpy.bincount(self.labels[chosen], minlength=self.classes)

    def count_groups(self, chosen: "numpy.ndarray") -> "numpy.ndarray":
        """Return in how many groups of some images (bool, n) each class is, int64 (classes,)."""
        import numpy

        pairs = numpy.unique(self.groups[chosen] * self.classes + self.labels[chosen])
        return numpy.bincount(pairs % self.classes, minlength=self.classes)


def draw_order(count: int, seed: int) -> "numpy.ndarray":
    """Return a random number for each image of a store, uint64 (count,), from the sub-seed of
    splits.

    A Philox generator's raw numbers are the same in every release of NumPy, which `permutation`
    does not promise.
    """
    import numpy

    return numpy.random.Philox(key=seeds.derive_seed(seed, "split")).random_raw(count)
