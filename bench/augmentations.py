"""Time per image of each augmentation, compared with equivalent Keras layers.

Run only this benchmark with `python -m bench.augmentations`.
"""

import random
import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from bench.ratios import Ratio, measure_medians
from imgcls import parts

BATCH = 128
TRACES = 8
"""How often Keras's AugMix is traced. It chooses its operations once per trace, and its time
depends on them by a factor of three.
"""
SIZES = ((28, 1, 60), (28, 3, 60), (224, 3, 15))
"""Height and width, channels, and rounds. Parts that need RGB are measured with three channels
only.
"""


def make_keras_layers() -> dict[str, tuple[dict[str, Any], list[Any]]]:
    """Return the settings of each augmentation, and the Keras layers that together do the same."""
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
        # Keras's sigma is at most 1: a kernel of seven pixels covers three sigma on each side.
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


def measure() -> list[tuple[str, str, float, float]]:
    """Measure all augmentations.

    Returns:
        Rows of part, image size, microseconds per image of the part, and of Keras (the mean over
        traces).
    """
    from imgcls.backend import tf

    rows = []
    # An argument of the functions: a constant step would make the random numbers constants.
    step = tf.constant(0, tf.int64)
    for size, channels, rounds in SIZES:
        images = tf.constant(
            numpy.random.default_rng(0).integers(0, 256, (BATCH, size, size, channels), numpy.uint8)
        )
        targets = tf.one_hot(tf.range(BATCH) % 10, 10)
        for label, (settings, keras_layers) in make_keras_layers().items():
            name = label.partition(",")[0]
            part = parts.load("augmentations", name)
            validated = part.Settings.model_validate({"name": name, **settings})
            # Small images have three channels only for parts that need RGB.
            if bool(validated.needs_rgb()) == (channels == 3) or size > 28:
                traces = TRACES if label == "aug_mix" else 1
                functions = [
                    tf.function(_make_ours(part, validated), autograph=False),
                    *_trace_keras(keras_layers, hasattr(part, "mix"), traces),
                ]
                calls = [partial(function, images, targets, step) for function in functions]
                for call in calls:
                    call()  # a warm-up
                ours, *each = measure_medians(dict(enumerate(calls)), rounds).values()
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


def _trace_keras(keras_layers: list[Any], mixes: bool, count: int) -> list[Callable[..., Any]]:
    """Return compiled functions of the layers, which differ in the choices made by tracing."""
    from imgcls.backend import tf

    random.seed(0)
    return [tf.function(_make_keras(keras_layers, mixes)) for _ in range(count)]


def _make_ours(part: Any, settings: Any) -> Callable[..., Any]:
    from imgcls.backend import tf
    from imgcls.input.augment import StatelessRandom

    def run(images: Any, targets: Any, step: Any) -> Any:
        random = StatelessRandom("bench", step, tf.constant(0, tf.int64), BATCH, BATCH)
        if hasattr(part, "mix"):
            return part.mix(settings, images, targets, random)
        return part.compute(settings, images, random)

    return run


def _make_keras(layers: list[Any], mixes: bool) -> Callable[..., Any]:
    def run(images: Any, targets: Any, step: Any) -> Any:
        values = {"images": images, "labels": targets} if mixes else images
        for layer in layers:
            values = layer(values, training=True)
        return values

    return run


def measure_ratios() -> list[Ratio]:
    """Measure the time of each augmentation relative to Keras."""
    return [
        (f"{part} at {size} / Keras", ours / theirs, "<= 1.00")
        for part, size, ours, theirs in measure()
    ]


def main() -> None:
    """Print the table of docs/augmentations.md."""
    print("| part | images | µs per image | Keras | ratio |\n|---|---|---|---|---|")
    for part, size, ours, theirs in measure():
        print(f"| `{part}` | {size} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} |")


if __name__ == "__main__":
    main()
