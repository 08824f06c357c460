"""The network of Keras's tutorial, trained with `model.fit` until its validation accuracy is high.

Two convolutions with max pooling, dropout, Adam and batches of 128, from
https://keras.io/examples/vision/mnist_convnet. Prints a line of JSON: whether it reached the
accuracy, the epochs, and the best validation accuracy. The caller may switch oneDNN on by an
environment variable.
"""

import json
import os
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


class StopAtAccuracy(keras.callbacks.Callback):
    """Stops after the first epoch whose validation accuracy is high enough.

    Args:
        accuracy: that is enough, 0..1.

    Attributes:
        accuracies: the validation accuracy of each epoch, 0..1.
    """

    def __init__(self, accuracy: float):
        super().__init__()
        self._accuracy = accuracy
        self.accuracies: list[float] = []

    @property
    def is_reached(self) -> bool:
        """Whether the last epoch reached the accuracy."""
        return self.accuracies[-1] >= self._accuracy

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Record the validation accuracy; stop if it is high enough."""
        self.accuracies.append(logs["val_accuracy"])
        self.model.stop_training = self.is_reached


def main() -> None:
    """Train until the validation accuracy is at least the second argument, at most 40 epochs.

    The first one is a file of numpy with images, labels, validation_images and validation_labels.
    """
    with numpy.load(sys.argv[1]) as arrays:
        images, labels = arrays["images"] / numpy.float32(255), arrays["labels"]
        validation = (
            arrays["validation_images"] / numpy.float32(255),
            arrays["validation_labels"],
        )
    stop = StopAtAccuracy(float(sys.argv[2]))
    build().fit(
        images,
        labels,
        batch_size=128,
        epochs=MAX_EPOCHS,
        validation_data=validation,
        verbose=0,
        callbacks=[stop],
    )
    result = {
        "reached": stop.is_reached,
        "epochs": len(stop.accuracies),
        "val_accuracy": max(stop.accuracies),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
