"""Digits: 1,797 handwritten digits, 8x8 grayscale with 17 levels, which ship with scikit-learn.

No network is needed. They are the test split of the UCI data set "Optical recognition of
handwritten digits" (Alpaydin and Kaynak, 1998, https://doi.org/10.24432/C50P49).

Light zone.
"""

from typing import TYPE_CHECKING

from imgcls.datasets import DataSettings, Entry, Source

if TYPE_CHECKING:
    import numpy


class Settings(DataSettings):
    """The settings of digits."""


def prepare(settings: Settings) -> Source:
    """Return the images; the levels 0..16 become 0..255."""
    import sklearn
    from sklearn.datasets import load_digits

    digits = load_digits()
    entries = [
        Entry(f"digits/{index:04d}", label) for index, label in enumerate(digits.target.tolist())
    ]

    def read(index: int) -> "numpy.ndarray":
        return (digits.images[index] * 255 / 16).round().astype("uint8")[..., None]

    return Source(
        [str(digit) for digit in range(10)],
        entries,
        read,
        version=sklearn.__version__,
        shape=(8, 8, 1),
    )
