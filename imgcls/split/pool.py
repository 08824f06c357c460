"""Images to be divided into subsets: splits, or folds. Light zone."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgcls import seeds

if TYPE_CHECKING:
    import numpy

UNASSIGNED = -1
"""In an array of assignments: an image that is in no subset yet."""


@dataclass(frozen=True, eq=False)
class Pool:
    """Images to be divided into subsets.

    Attributes:
        classes: the number of classes.
        labels: class numbers, int (n,).
        groups: numbers of groups, from 0, int64 (n,); an image without a group has its own number.
        assigned: int64 (n,): the subset that an image is in already, or `UNASSIGNED`.
        random_keys: uint64 (n,): the images of a class are assigned in ascending order of their
            keys.
    """

    classes: int
    labels: "numpy.ndarray"
    groups: "numpy.ndarray"
    assigned: "numpy.ndarray"
    random_keys: "numpy.ndarray"

    def count_images(self, chosen: "numpy.ndarray") -> "numpy.ndarray":
        """Return the number of images of each class in some images (bool, n), int64 (classes,)."""
        import numpy

        return numpy.bincount(self.labels[chosen], minlength=self.classes)

    def count_groups(self, chosen: "numpy.ndarray") -> "numpy.ndarray":
        """Return the number of groups of each class in some images (bool, n), int64 (classes,)."""
        import numpy

        pairs = numpy.unique(self.groups[chosen] * self.classes + self.labels[chosen])
        return numpy.bincount(pairs % self.classes, minlength=self.classes)


def draw_random_keys(count: int, seed: int) -> "numpy.ndarray":
    """Return a random number for each image of a store, uint64 (count,), from the seed of splits.

    A Philox generator's raw numbers are the same in every release of NumPy, unlike `permutation`.
    """
    import numpy

    return numpy.random.Philox(key=seeds.derive_seed(seed, "split")).random_raw(count)
