"""Time of a training step with batch norm, compared with Keras's layer.

Run only this benchmark with `python -m bench.batch_norm`.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy

from bench.ratios import Ratio, measure_medians, print_ratios
from imgcls import parts
from imgcls.models import Problem

ROUNDS = 10
STEPS = 8
BATCH = 128
MODELS = {
    "28x28x1, filters: [32, 64]": ((28, 28, 1), {"filters": [32, 64]}),
    "32x32x3, filters: [64, 128, 256]": ((32, 32, 3), {"filters": [64, 128, 256], "dense": [256]}),
}


def measure_ratios() -> list[Ratio]:
    """Compare steps of `cnn` in float32 and mixed_bfloat16, in alternation."""
    rows = []
    for precision in ("float32", "mixed_bfloat16"):
        for name in MODELS:
            own, keras_layer = _measure_steps(name, precision)
            print(
                f"batch norm, {name}, {precision}: {own:.1f} ms, Keras {keras_layer:.1f} ms",
                file=sys.stderr,
            )
            title = f"step with batch norm / with Keras's layer, {name}, {precision}"
            rows.append((title, own / keras_layer, "<= 1.00"))
    return rows


def _measure_steps(name: str, precision: str) -> tuple[float, float]:
    """Return the median milliseconds per step with the layer, and with Keras's."""
    from imgcls.backend import keras
    from imgcls.training.model_file import make_plain_model

    keras.config.set_dtype_policy(precision)
    shape, settings = MODELS[name]
    cnn = parts.load("models", "cnn")
    images = keras.Input(shape, dtype="uint8")
    problem = Problem(10, [70.0] * shape[2], [90.0] * shape[2], dropout_seed=0)
    settings = cnn.Settings(name="cnn", batch_norm=True, dropout=0.0, **settings)
    model = keras.Model(images, cnn.build(settings, images, problem))
    models = {"own": model, "keras": make_plain_model(model)}
    seconds = measure_medians({key: _compile(models[key], shape) for key in models}, ROUNDS)
    return seconds["own"] * 1000 / STEPS, seconds["keras"] * 1000 / STEPS


def _compile(model: Any, shape: tuple[int, ...]) -> Callable[[], object]:
    """Return a function that computes gradients of one batch STEPS times."""
    from imgcls.backend import tf

    random = numpy.random.default_rng(0)
    images = tf.constant(random.integers(0, 256, (BATCH, *shape), numpy.uint8))
    labels = tf.constant(random.integers(0, 10, BATCH), tf.int32)

    @tf.function
    def run() -> tf.Tensor:
        total = tf.constant(0.0)
        for _ in tf.range(STEPS):
            with tf.GradientTape() as tape:
                logits = model(images, training=True)
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
                )
            gradients = tape.gradient(loss, model.trainable_variables)
            total += tf.add_n([tf.reduce_sum(gradient) for gradient in gradients])
        return total

    run()
    return lambda: run().numpy()


def main() -> None:
    """Print the ratios."""
    print_ratios(measure_ratios())


if __name__ == "__main__":
    main()
