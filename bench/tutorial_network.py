"""The network of Keras's tutorial, trained with `model.fit` until its validation accuracy is high.

Two convolutions with max pooling, dropout, Adam and batches of 128, from
https://keras.io/examples/vision/mnist_convnet. Prints the CPU seconds of this process, from its
start, and the epochs. The caller may switch oneDNN on by an environment variable.
"""

import os
import resource
import sys

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy

MAX_EPOCHS = 40


def build() -> keras.Model:
    """Build and compile the network of the tutorial."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    """Train until the validation accuracy is at least the second argument, at most 40 epochs."""
    accuracy = float(sys.argv[2])
    with numpy.load(sys.argv[1]) as arrays:
        images, labels = arrays["images"] / numpy.float32(255), arrays["labels"]
        validation = (
            arrays["validation_images"] / numpy.float32(255),
            arrays["validation_labels"],
        )
    model = build()
    for epoch in range(1, MAX_EPOCHS + 1):
        fitted = model.fit(images, labels, batch_size=128, validation_data=validation, verbose=0)
        reached = fitted.history["val_accuracy"][-1]
        print(f"tutorial: epoch {epoch}, val_accuracy {reached:.4f}", file=sys.stderr, flush=True)
        if reached >= accuracy:
            usage = resource.getrusage(resource.RUSAGE_SELF)
            print(usage.ru_utime + usage.ru_stime, epoch)
            return
    sys.exit(f"the tutorial's network did not reach {accuracy} in {MAX_EPOCHS} epochs")


if __name__ == "__main__":
    main()
