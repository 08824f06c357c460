"""The validation images that a run keeps, so that a model can be compared with its exports without
the data. Light zone.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from imgcls.image.decode import Geometry, Resize
from imgcls.io.array_records import Array, ArrayRecord, NDArray, read_arrays, write_arrays
from imgcls.seeds import derive_seed

if TYPE_CHECKING:
    import numpy

    from imgcls.input.batches import Examples

MAX_IMAGES, MIN_IMAGES = 256, 16
MAX_BYTES = 16 << 20
"""Above this size, fewer images are kept, but at least `MIN_IMAGES`: 111 of 224x224x3."""
_ADVICE = "prepare the run's data to do without it"


class SampleArrays(ArrayRecord):
    """Validation images of a run, as its model sees them, chosen at random by the run's seed."""

    images: Annotated[NDArray, Array("uint8", "images", "height", "width", "channels")]
    """At most 256 images, and, above 16 of them, at most 16 MiB."""
    labels: Annotated[NDArray, Array("int32", "images")]
    """True class numbers."""


class SampleReader:
    """Reads the images of a sample as a store's reader does."""

    def __init__(self, sample: SampleArrays, resize: Resize):
        self._images = sample.images
        height, width, channels = sample.images.shape[1:]
        self.geometry = Geometry((height, width, channels), resize)

    def read(self, indices: "numpy.ndarray") -> "numpy.ndarray":
        """Return images, uint8 (n, height, width, channels)."""
        return self._images[indices]


def count_images(shape: tuple[int, int, int], available: int) -> int:
    """Return how many images of a shape are kept, of those that are available."""
    height, width, channels = shape
    fitting = max(MAX_BYTES // (height * width * channels), MIN_IMAGES)
    return min(fitting, MAX_IMAGES, available)


def write_sample(path: Path, validation: "Examples", seed: int) -> None:
    """Choose images of a validation split, and write them; nothing if it is empty.

    Args:
        seed: of the experiment.

    Raises:
        UserError: the file cannot be written.
    """
    if not len(validation):
        return
    import numpy

    from imgcls.input.sampler import shuffle_epoch

    order = shuffle_epoch(len(validation), derive_seed(seed, "sample"), 0)
    positions = numpy.sort(order[: count_images(validation.shape, len(validation))])
    images, labels = validation.read(positions)
    write_arrays(path, SampleArrays(images=images, labels=labels))


def read_sample(path: Path) -> SampleArrays:
    """Read the images that a run keeps.

    Raises:
        DataError: the file is missing or damaged.
    """
    return read_arrays(path, SampleArrays, _ADVICE)
