"""Digits: 1,797 handwritten digits, 8x8 grey with 17 levels, which scikit-learn ships: no network is needed.

The test part of the UCI set "Optical recognition of handwritten digits" (Alpaydin and Kaynak, 1998, https://doi.org/10.24432/C50P49).
"""

from collections.abc import Iterator

from imgcls.datasets import DataSettings, Record, Source


class Settings(DataSettings):
    """The settings of digits."""


def prepare(settings: Settings) -> Source:
    """Return the stream of the images; the levels 0..16 become 0..255."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    levels, labels = digits.images, digits.target.tolist()

    def records() -> Iterator[Record]:
        for index, label in enumerate(labels):
            image = (levels[index] * 255 / 16).round().astype("uint8")
            yield Record(image[..., None], label, f"digits/{index:04d}")

    return Source([str(digit) for digit in range(10)], (8, 8, 1), len(labels), records())
