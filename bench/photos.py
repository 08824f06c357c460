"""Photos in a store, and imgcls's streaming iterator over them, for the benchmarks of reading."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

JPEGS = 2000

CROPPED = """
name: loader
data:
  {{name: folder, path: {folder}/photos, store_dir: {folder}/data, size: [224, 224], resize: crop,
    {store}}}
augment: [{{name: random_resized_crop}}, {{name: random_flip}}]
model: {{name: cnn, filters: [8, 8, 8, 8]}}
train: {{batch_size: {batch}, device_cache_mib: 0}}
"""


def write_photos(folder: Path) -> None:
    """Write random crops of scikit-learn's two photos as JPEGs of 500x375, one class per photo."""
    import numpy
    from PIL import Image
    from sklearn.datasets import load_sample_images

    photos, generator = load_sample_images().images, numpy.random.default_rng(0)
    for number in range(JPEGS):
        photo = photos[number % 2]
        top, left = (
            generator.integers(0, photo.shape[0] - 375 + 1),
            generator.integers(0, photo.shape[1] - 500 + 1),
        )
        path = folder / ("china", "flower")[number % 2] / f"{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        crop = Image.fromarray(photo[top : top + 375, left : left + 500])
        crop.save(path)  # with Pillow's default quality, 75


def prepare_experiment(experiment_text: str, folder: Path) -> tuple[Any, Any, Any]:
    """Prepare the data of an experiment; return the experiment, its store and its split."""
    from imgcls.experiment_file import read_experiment
    from imgcls.store.lookup import find_store
    from imgcls.verbs.prepare import prepare

    path = folder / "experiment.yaml"
    path.write_text(experiment_text)
    experiment = read_experiment(path)
    prepare(experiment)
    return experiment, *find_store(experiment)


def make_batches(experiment: Any, store: Any, split: Any) -> Any:
    """Return the training batches, which are read by data workers as in training."""
    from imgcls.input.batches import ShuffledBatches, open_training_examples

    return ShuffledBatches(open_training_examples(store, split, None)[0], experiment)


def make_loader(batches: Any, placement: str = "store") -> Callable[[], Iterator[Any]]:
    """Return a function that starts imgcls's streaming iterator over batches of images.

    Args:
        placement: where the images lie, `store` or `host`.
    """
    from imgcls.backend import tf
    from imgcls.input.iterators import make_iterator
    from imgcls.training import history

    strategy = tf.distribute.OneDeviceStrategy("CPU:0")

    def start() -> Iterator[Any]:
        stages = dict.fromkeys(history.STAGES, 0.0)
        with contextlib.closing(make_iterator(placement, batches, strategy, 0, stages)) as iterator:
            stream, _ = iterator.make_execution_inputs(0, 0)
            while True:
                yield next(stream)[0]

    return start
