"""CIFAR-100: 60,000 photos of 32x32 pixels in 100 classes or 20 superclasses, with its own test
split (Krizhevsky, 2009, "Learning multiple layers of features from tiny images").

The SHA-256 of its archive is the one that TensorFlow Datasets publishes.

Light zone.
"""

from typing import Literal

from imgcls.datasets import Source, _cifar
from imgcls.io.downloads import RemoteFile

REMOTE = RemoteFile(
    name="cifar-100-binary.tar.gz",
    sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    max_bytes=168_513_733,
)
CLASSES = {"coarse": 20, "fine": 100}
"""The number of classes of each, in the order of a record's two label bytes."""


class Settings(_cifar.CifarSettings):
    """The settings of CIFAR-100."""

    labels: Literal["fine", "coarse"] = "fine"
    """fine: 100 classes; coarse: their 20 superclasses."""


def make_archive(labels: Literal["fine", "coarse"]) -> _cifar.CifarArchive:
    """Return the published archive, to be read with fine or coarse labels."""
    return _cifar.CifarArchive(
        title="CIFAR-100",
        remote=REMOTE,
        folder="cifar-100-binary",
        files={"train": ("train.bin",), "test": ("test.bin",)},
        class_names_file=f"{labels}_label_names.txt",
        label_bytes=len(CLASSES),
        label_index=list(CLASSES).index(labels),
        class_count=CLASSES[labels],
    )


def prepare(settings: Settings) -> Source:
    """Return the images of both splits."""
    return _cifar.prepare(settings, make_archive(settings.labels))
