"""Images, random parameters and references for the tests of augmentations."""

import numpy
from PIL import Image
from sklearn.datasets import load_sample_images

from imgcls import parts
from imgcls.backend import tf
from imgcls.input.augment import StatelessRandom

PHOTO = load_sample_images().images[0]
CROPS = numpy.stack([PHOTO[i : i + 40, 2 * i : 2 * i + 48] for i in range(0, 200, 40)])
NOISE = numpy.random.default_rng(0).integers(0, 256, (5, 40, 48, 3), numpy.uint8)
IMAGES = {
    "photos": CROPS,
    "noise": NOISE,
    "gray": CROPS[..., :1],
    "one level": numpy.full((5, 8, 9, 3), 77, numpy.uint8),
}


def make_random(batch, step=0, key="test"):
    """Return the source of random parameters of a batch on one device."""
    return StatelessRandom(key, tf.constant(step, tf.int64), tf.constant(0, tf.int64), batch, batch)


def make_settings(name, **settings):
    """Return the validated settings of an augmentation."""
    return parts.load("augmentations", name).Settings.model_validate({"name": name, **settings})


def apply_augmentation(name, images, step=0, **settings):
    """Return what an augmentation makes of images, a numpy array."""
    part = parts.load("augmentations", name)
    return part.compute(
        make_settings(name, **settings), tf.constant(images), make_random(len(images), step)
    ).numpy()


def apply_pillow(images, function):
    """Apply a function of a Pillow image and its index to each image."""
    opened = [
        Image.fromarray(image.squeeze(axis=2) if image.shape[2] == 1 else image) for image in images
    ]
    return numpy.stack(
        [
            numpy.asarray(function(image, i)).reshape(images.shape[1:])
            for i, image in enumerate(opened)
        ]
    )
