"""The validation images that a run keeps: which ones, how many, and that they are found again."""

from pathlib import Path

import numpy
import pytest
from damage import OF_BYTES, assert_refused_in_one_line
from experiments import as_they_are

from imgcls.evaluation import sample
from imgcls.input.batches import Examples
from imgcls.run import Run
from imgcls.store import lookup
from imgcls.verbs import train


@pytest.mark.parametrize(
    ("shape", "available", "kept"),
    [
        ((28, 28, 1), 10_000, 256),
        ((28, 28, 1), 9, 9),
        ((224, 224, 3), 10_000, 111),
        ((1000, 1000, 3), 10_000, 16),
    ],
)
def test_large_images_are_fewer(shape, available, kept):
    assert sample.count_images(shape, available) == kept


def test_a_training_keeps_validation_images_as_the_model_sees_them(digits):
    settings = digits("train.epochs=1")
    train.train(settings, Path("run"))
    found = sample.read_sample(Run(Path("run")).sample_file)
    store, split = lookup.find_store(settings)
    images = store.open_reader(split.geometry).read(split.validation)
    places = {image.tobytes(): place for place, image in enumerate(images)}
    chosen = [places[image.tobytes()] for image in found.images]
    assert sorted(chosen) == list(range(len(images)))  # they are fewer than 256
    assert found.labels.tolist() == store.labels[split.validation][chosen].tolist()


def write(path, seed, count=1000):
    images = numpy.arange(count * 4).reshape(count, 2, 2, 1).astype(numpy.uint8)
    labels = numpy.arange(count, dtype=numpy.int32)
    examples = Examples(as_they_are(images), labels, numpy.arange(count))
    sample.write_sample(path, examples, seed)
    return path


def test_the_choice_depends_on_the_seed_alone(tmp_path):
    first, again, other = (
        sample.read_sample(write(tmp_path / name, seed)).labels.tolist()
        for name, seed in (("1.npz", 0), ("2.npz", 0), ("3.npz", 1))
    )
    assert first == again != other
    assert len(set(first)) == 256
    assert first == sorted(first)


def test_without_validation_images_there_is_no_file(tmp_path):
    assert not write(tmp_path / "sample.npz", 0, count=0).exists()


@pytest.mark.parametrize("damage", OF_BYTES)
def test_a_damaged_sample_is_a_one_line_error(damage, tmp_path):
    path = write(tmp_path / "sample.npz", 0)
    OF_BYTES[damage](path)
    message = assert_refused_in_one_line(lambda: sample.read_sample(path), path)
    assert "prepare the run's data to do without it" in message
