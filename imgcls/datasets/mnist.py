"""MNIST: 70,000 handwritten digits, 28x28 grayscale, with its own test split (LeCun, Bottou, Bengio
and Haffner, 1998, "Gradient-based learning applied to document recognition",
http://yann.lecun.com/exdb/mnist/).

Light zone.
"""

from imgcls.datasets import Source, _idx

ARCHIVE = _idx.IdxFiles(
    title="MNIST",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    sha256={
        "train-images-idx3-ubyte": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
    classes=[str(digit) for digit in range(10)],
)


class Settings(_idx.IdxSettings):
    """The settings of MNIST."""


def prepare(settings: Settings) -> Source:
    """Return the images of both splits."""
    return _idx.prepare(settings, ARCHIVE)
