"""CIFAR-10: 60,000 photos of 32x32 pixels in ten classes, with its own test split (Krizhevsky,
2009, "Learning multiple layers of features from tiny images").

The SHA-256 of its archive is the one that TensorFlow Datasets publishes.

Light zone.
"""

from imgcls.datasets import Source, _cifar
from imgcls.io.downloads import RemoteFile

ARCHIVE = _cifar.CifarArchive(
    title="CIFAR-10",
    remote=RemoteFile(
        name="cifar-10-binary.tar.gz",
        sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        mirrors=("https://www.cs.toronto.edu/~kriz/",),
        max_bytes=170_052_171,
    ),
    folder="cifar-10-batches-bin",
    files={
        "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        "test": ("test_batch.bin",),
    },
    class_names_file="batches.meta.txt",
    label_bytes=1,
    label_index=0,
    class_count=10,
)


class Settings(_cifar.CifarSettings):
    """The settings of CIFAR-10."""


def prepare(settings: Settings) -> Source:
    """Return the images of both splits."""
    return _cifar.prepare(settings, ARCHIVE)
