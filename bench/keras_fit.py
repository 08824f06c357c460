"""The same network in plain Keras, with `model.fit` on numpy arrays, including validation.

Trains an epoch for each line on stdin, and prints its seconds. The caller may turn oneDNN on by an
environment variable.
"""

import os
import sys
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy


def build() -> keras.Model:
    """Build and compile the model of configs/fashion_cnn.yaml."""
    layers = keras.layers
    images = keras.Input((28, 28, 1), dtype="uint8")
    features = layers.Normalization(mean=[73.0], variance=[8100.0])(images)
    for filters in (32, 64):
        features = layers.MaxPooling2D()(
            layers.Conv2D(filters, 3, padding="same", activation="relu")(features)
        )
    features = layers.Flatten()(features)
    for _ in range(2):
        features = layers.Dense(128, activation="relu")(features)
    model = keras.Model(images, layers.Dense(10)(layers.Dropout(0.5)(features)))
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def main() -> None:
    """Train an epoch for each line on stdin."""
    with numpy.load(sys.argv[1]) as arrays:
        images, labels = arrays["images"], arrays["labels"]
        validation = arrays["validation_images"], arrays["validation_labels"]
    model = build()
    model.fit(images[:1280], labels[:1280], batch_size=128, validation_data=validation, verbose=0)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        model.fit(images, labels, batch_size=128, validation_data=validation, verbose=0)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
