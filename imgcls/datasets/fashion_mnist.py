"""Fashion-MNIST: 70,000 articles of clothing, 28x28 grayscale, with its own test split (Xiao, Rasul
and Vollgraf, 2017, https://arxiv.org/abs/1708.07747).

Light zone.
"""

from imgcls.datasets import Source, _idx

ARCHIVE = _idx.IdxFiles(
    title="Fashion-MNIST",
    mirrors=(
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    sha256={
        "train-images-idx3-ubyte": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    },
    classes=[
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
)


class Settings(_idx.IdxSettings):
    """The settings of Fashion-MNIST."""


def prepare(settings: Settings) -> Source:
    """Return the images of both splits."""
    return _idx.prepare(settings, ARCHIVE)
