"""A training step of each model in each precision, where TensorFlow may not move operations that
have no kernel on the GPU to the CPU (soft placement off).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy

from bench.gpu._row import PRECISIONS, Row, Target, decide
from bench.gpu._training import AUGMENTED, start_training, write_experiment
from imgcls import parts


def measure(target: Target, folder: Path) -> Iterator[Row]:
    """Train an epoch of each model in each precision."""
    from imgcls.backend import tf

    tf.config.set_soft_device_placement(False)
    for model in parts.list_names("models"):
        if model == "keras_hub":
            yield Row(_name_check(model), "not run: needs an extra and a download", "-", "skipped")
        else:
            yield measure_model(model, folder)


def _name_check(model: str) -> str:
    return f"an epoch of {model}, soft placement off"


def write_images(folder: Path) -> Path:
    """Write noise of 32x32, the smallest images that all models take; return the file."""
    path = folder / "noise.npz"
    if not path.exists():
        images = numpy.random.default_rng(0).integers(0, 256, (320, 32, 32, 3), numpy.uint8)
        numpy.savez(path, images=images, labels=numpy.arange(320) % 10)
    return path


def measure_model(model: str, folder: Path) -> Row:
    """Train an epoch of a model in each precision, and validate."""
    failures, data = {}, f"data={{name: arrays, path: {write_images(folder)}, validation: 0.2}}"
    for precision in PRECISIONS:
        overrides = (*AUGMENTED, data, f"model={{name: {model}}}", f"train.precision={precision}")
        try:
            path = write_experiment(folder, f"{model}-{precision}", *overrides)
            with start_training(path) as (epochs, _):
                next(epochs)
        except Exception as error:
            failures[precision] = f"{precision}: {type(error).__name__}: {error}"[:300]
    return Row(
        _name_check(model),
        "; ".join(failures.values()) or f"trains in {len(PRECISIONS)} precisions",
        f"trains in {len(PRECISIONS)} precisions",
        decide(not failures),
    )
