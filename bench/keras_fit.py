"""A network of Keras's own layers, trained with `model.fit` on numpy arrays, with validation.

Prints the number of parameters, then trains an epoch for each line on stdin and prints its seconds.
The caller may turn oneDNN on by an environment variable, so nothing of imgcls is imported.
"""

import math
import os
import sys
import time
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy


def main() -> None:
    """Train an epoch for each line on stdin; the argument is a folder with network.keras and
    arrays.npz.
    """
    folder = Path(sys.argv[1])
    with numpy.load(folder / "arrays.npz") as arrays:
        images, labels = arrays["images"], arrays["labels"]
        validation = arrays["validation_images"], arrays["validation_labels"]
    model = keras.models.load_model(folder / "network.keras", compile=False)
    model.compile(
        keras.optimizers.AdamW(1e-3, weight_decay=0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images[:1280], labels[:1280], batch_size=128, validation_data=validation, verbose=0)
    print(sum(math.prod(each.shape) for each in model.trainable_variables), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        model.fit(images, labels, batch_size=128, validation_data=validation, verbose=0)
        print(time.perf_counter() - start, flush=True)


if __name__ == "__main__":
    main()
