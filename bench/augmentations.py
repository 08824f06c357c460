"""Each augmentation's time for an image, beside the Keras layer of the same operation; run alone:
`python -m bench.augmentations`.
"""

import random
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from imgcls import parts

BATCH = 128
TRACES = 8
"""Of Keras's AugMix, which chooses its operations once, while it is traced: its time depends on
which they are, by a factor of three.
"""
SIZES = ((28, 1, 60), (28, 3, 60), (224, 3, 15))
"""Height and width, channels, and turns; parts that need RGB are measured with three channels
alone.
"""


def layers() -> dict[str, tuple[dict[str, Any], list[Any]]]:
    """Return, by part, its settings and the Keras layers that do the same: several where none does
    all of it.
    """
    from imgcls.backend import keras

    layers = keras.layers
    warp = [
        layers.RandomShear(0.18, 0.0, fill_mode="constant"),
        layers.RandomZoom((-0.1, 0.1), fill_mode="constant"),
        layers.RandomRotation(15 / 360, fill_mode="constant"),
        layers.RandomTranslation(0.1, 0.1, fill_mode="constant"),
    ]
    factors = {f"{name}_factor": 0.4 for name in ("brightness", "contrast", "saturation")}
    return {
        "random_affine": ({}, warp),
        "random_affine, rotation alone": (
            {"translate": 0.0, "scale": [1.0, 1.0], "shear": 0.0},
            warp[2:3],
        ),
        "aug_mix": ({}, [layers.AugMix()]),
        # Keras's sigma goes up to 1, of which three on either side make seven pixels.
        "gaussian_blur": (
            {"sigma": [0.1, 1.0]},
            [layers.RandomGaussianBlur(factor=0.5, kernel_size=7, sigma=1.0)],
        ),
        "color_jitter": ({"hue": 0.1}, [layers.RandomColorJitter(**factors, hue_factor=0.1)]),
        "random_crop": (
            {},
            [layers.RandomTranslation(0.1, 0.1, fill_mode="constant", interpolation="nearest")],
        ),
        "cutmix": ({"probability": 1.0}, [layers.CutMix()]),
        "random_erasing": ({}, [layers.RandomErasing()]),
        "random_flip": ({}, [layers.RandomFlip("horizontal")]),
        "random_grayscale": ({"probability": 0.5}, [layers.RandomGrayscale(0.5)]),
        "mixup": ({}, [layers.MixUp()]),
        "gaussian_noise": ({}, [layers.Rescaling(1 / 255), layers.GaussianNoise(10 / 255)]),
        "rand_augment": ({}, [layers.RandAugment()]),
        "random_resized_crop": ({}, [layers.RandomZoom((-0.5, 0.0))]),
        "trivial_augment": ({}, [layers.RandAugment(num_ops=1)]),
    }


def table() -> list[tuple[str, str, float, float]]:
    """Return part, images, and microseconds for an image, measured in turns: of the part, and of
    Keras, the mean over its traces.
    """
    from imgcls.backend import tf

    rows = []
    step = tf.constant(
        0, tf.int64
    )  # given to the function, since a step that it knows makes its random numbers constants
    for size, channels, turns in SIZES:
        images = tf.constant(
            numpy.random.default_rng(0).integers(0, 256, (BATCH, size, size, channels), numpy.uint8)
        )
        targets = tf.one_hot(tf.range(BATCH) % 10, 10)
        for label, (settings, keras_layers) in layers().items():
            name = label.partition(",")[0]
            part = parts.load("augmentations", name)
            validated = part.Settings.model_validate({"name": name, **settings})
            # Three channels are measured at the small size only where one does not do.
            if bool(validated.needs_rgb()) == (channels == 3) or size > 28:
                way = tf.function(_ours(part, validated), autograph=False)
                ways = [
                    way,
                    *_traced(
                        keras_layers, hasattr(part, "mix"), TRACES if label == "aug_mix" else 1
                    ),
                ]
                ours, *each = _medians([partial(way, images, targets, step) for way in ways], turns)
                theirs = statistics.mean(each)
                rows.append(
                    (label, f"{size}x{size}x{channels}", 1e6 * ours / BATCH, 1e6 * theirs / BATCH)
                )
                times = ", ".join(f"{1e6 * seconds / BATCH:.3g}" for seconds in each)
                print(
                    f"augmentations: {label} at {size} {ours / theirs:.2f} (Keras: {times})",
                    file=sys.stderr,
                    flush=True,
                )
    return rows


def _traced(keras_layers: list[Any], mixes: bool, count: int) -> list[Callable[..., Any]]:
    """Return the layers in so many compiled functions, each with other choices of what they take
    from Python's own generator.
    """
    from imgcls.backend import tf

    random.seed(0)
    return [tf.function(_keras(keras_layers, mixes)) for _ in range(count)]


def _ours(part: Any, settings: Any) -> Callable[..., Any]:
    from imgcls.backend import tf
    from imgcls.input.augment import StatelessRandom

    def run(images: Any, targets: Any, step: Any) -> Any:
        random = StatelessRandom("bench", step, tf.constant(0, tf.int64), BATCH, BATCH)
        if hasattr(part, "mix"):
            return part.mix(settings, images, targets, random)
        return part.compute(settings, images, random)

    return run


def _keras(layers: list[Any], mixes: bool) -> Callable[..., Any]:
    def run(images: Any, targets: Any, step: Any) -> Any:
        values = {"images": images, "labels": targets} if mixes else images
        for layer in layers:
            values = layer(values, training=True)
        return values

    return run


def _medians(ways: list[Callable[[], Any]], turns: int) -> list[float]:
    """Return each way's median seconds; a warm-up, then turns of equal calls."""
    times: list[list[float]] = [[] for _ in ways]
    for way in ways:
        way()
    for _ in range(turns):
        for way, seconds in zip(ways, times, strict=True):
            start = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - start)
    return [statistics.median(each) for each in times]


def ratios() -> list[tuple[str, float, str]]:
    """Return each part's time over that of Keras."""
    return [
        (f"{part} at {size} / Keras", ours / theirs, "<= 1.00")
        for part, size, ours, theirs in table()
    ]


def main() -> None:
    """Print the table of docs/augmentations.md."""
    print("| part | images | µs an image | Keras | ratio |\n|---|---|---|---|---|")
    for part, size, ours, theirs in table():
        print(f"| `{part}` | {size} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    main()
