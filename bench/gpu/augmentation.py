"""The batches of each augmentation as training on a GPU gets them, against those on the CPU.

Augmentation runs on the CPU in tf.data, so they must be the same bytes.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy

from bench.gpu._row import Row, Target, decide
from bench.gpu._training import write_experiment
from imgcls import parts
from imgcls.config import Experiment
from imgcls.experiment_file import read_experiment
from imgcls.store.lookup import find_store

STEPS = 3
CPU = "CPU:0"


def measure(target: Target, folder: Path) -> Iterator[Row]:
    """Compare the batches of all augmentations."""
    names = parts.list_names("augmentations")
    differing = [
        name
        for name, path in write_experiments(folder, names).items()
        if not is_same(read_experiment(path), target.devices[0])
    ]
    yield Row(
        "batches of each augmentation, copied back, against those of the CPU",
        f"differ: {', '.join(differing)}" if differing else f"{len(names)} of {len(names)} equal",
        f"{len(names)} of {len(names)} equal",
        decide(not differing),
    )


def write_experiments(folder: Path, names: list[str]) -> dict[str, Path]:
    """Write an experiment on 32x32 RGB noise for each augmentation."""
    pixels = numpy.random.default_rng(0).integers(0, 256, (256, 32, 32, 3), numpy.uint8)
    numpy.savez(folder / "noise.npz", images=pixels, labels=numpy.arange(256) % 4)
    content = {
        "data": {"name": "arrays", "path": str(folder / "noise.npz")},
        "model": {"name": "cnn"},
        "train": {"batch_size": 64},
    }
    return {
        name: write_experiment(folder, name, f"augment=[{{name: {name}}}]", content=content)
        for name in names
    }


def is_same(experiment: Experiment, device: str) -> bool:
    """Return whether the batches on a device have the bytes of those on the CPU."""
    one, other = (read_batches(experiment, each) for each in (CPU, device))
    return [each.tobytes() for each in one] == [each.tobytes() for each in other]


def read_batches(experiment: Experiment, device: str) -> list[numpy.ndarray]:
    """Return images, targets and weights of the first steps, from the memory of a replica's device.

    Raises:
        RuntimeError: the images were not there.
    """
    from imgcls.backend import tf
    from imgcls.input.batches import ShuffledBatches, open_training_examples
    from imgcls.input.iterators import choose_placement, make_iterator

    store, split = find_store(experiment)
    examples, _ = open_training_examples(store, split, 1)
    batches = ShuffledBatches(examples, experiment, len(store.classes))
    strategy = tf.distribute.OneDeviceStrategy(device)
    stages = {"reading": 0.0, "augmentation": 0.0}
    crops_on_read = batches.crops_on_read
    placement = choose_placement(
        on_gpus=True, augmented=True, fits=True, crops_on_read=crops_on_read
    )
    arrays = []
    with closing(make_iterator(placement, batches, strategy, 0, stages)) as iterator:
        take = tf.autograph.experimental.do_not_convert(iterator.make_local_batch)
        for step in range(STEPS):
            inputs = iterator.distribute_inputs(iterator.make_execution_inputs(step, 1))
            args = iterator.make_replica_inputs(inputs, tf.constant(0), tf.constant(0.0))
            local = strategy.run(take, args=args)
            if not local[0].backing_device.endswith(device):
                raise RuntimeError(f"a batch for {device} is on {local[0].backing_device}")
            arrays += [tensor.numpy() for tensor in local]
        del inputs
    return arrays
