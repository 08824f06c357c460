"""What `predict` is made of: batches, folders, compiled models, and the processes that read."""

import os
import subprocess

import numpy
import pytest
import small_models
from experiments import json_of
from predicted_runs import make_run

from imgcls.io import folders
from imgcls.prediction.batches import Batch, divide, form_batches
from imgcls.prediction.inputs import Input, divide_stream
from imgcls.store import data_workers
from imgcls.training.model_file import make_plain_model, make_serving_model


def make_batch(numbers, broken):
    """Return a batch of images that are numbers, of which some cannot be read."""
    inputs = [Input(str(each), "broken" if each in broken else None) for each in numbers]
    read = [each for each in numbers if each not in broken]
    return Batch(inputs, numpy.array(read, numpy.uint8).reshape(-1, 1, 1, 1))


@pytest.mark.parametrize("seed", range(20))
def test_batches_are_full_of_images_that_can_be_read_and_keep_the_order(seed):
    generator = numpy.random.default_rng(seed)
    size, count = int(generator.integers(1, 6)), int(generator.integers(1, 30))
    broken = set(numpy.flatnonzero(generator.random(count) < generator.random()).tolist())
    read = [make_batch(chunk, broken) for chunk in divide(range(count), size)]
    batches = list(form_batches(read, size))
    order = [each.path for batch in batches for each in batch.inputs]
    assert order == list(map(str, range(count)))
    for batch in batches:
        usable = [int(each.path) for each in batch.inputs if each.problem is None]
        assert batch.images.reshape(-1).tolist() == usable
    assert all(len(batch.images) == size for batch in batches[:-1])
    assert len(batches[-1].images) <= size


def test_a_batch_whose_images_can_all_be_read_is_not_copied():
    batch = make_batch(range(4), set())
    (formed,) = form_batches([batch], 4)
    assert formed.images is batch.images


@pytest.mark.parametrize("block", [1, 2, 100])
def test_paths_on_stdin_are_found_however_they_are_read(block, tmp_path, monkeypatch):
    monkeypatch.setattr("imgcls.prediction.inputs._BLOCK", block)
    (tmp_path / "paths").write_bytes(b"a\n\nb c\xff\r.png\n\nlast")
    with (tmp_path / "paths").open("rb") as stream:
        assert list(divide_stream(stream, b"\n")) == [b"a", b"b c\xff\r.png", b"last"]


def test_a_folder_is_walked_in_the_order_of_the_bytes_of_its_paths(tmp_path):
    names = ["a/1", "a.png", "a-b/2", "a/b/3", "b", "B", "\udcff/4", "ü", "a/b.png", "a/b-"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "5").touch()
    walked = [str(path.relative_to(tmp_path)) for path, _ in folders.walk(tmp_path)]
    assert walked == sorted([*names, ".hidden"], key=os.fsencode)


def test_a_link_to_a_folder_is_followed_but_not_in_a_circle(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "1").touch()
    (tmp_path / "real" / "up").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "self").symlink_to("self")
    walked = [(str(path.relative_to(tmp_path)), found) for path, found in folders.walk(tmp_path)]
    problem = "a symbolic link to a folder above it"
    assert walked == [
        ("linked/1", None), ("linked/up", problem), ("real/1", None), ("real/up", problem),
        ("self", None),
    ]  # fmt: skip


@pytest.mark.parametrize(("storage", "expected"), [("pixels", False), ("encoded", True)])
def test_eval_reads_in_data_workers_where_images_are_decoded(
    tmp_path, monkeypatch, storage, expected
):
    run, start, started = make_run(tmp_path, storage=storage), subprocess.Popen, []

    def record(command, **options):
        started.extend(command)
        return start(command, **options)

    monkeypatch.setattr(data_workers.subprocess, "Popen", record)
    json_of("eval", run.folder)
    assert ("imgcls.store.data_workers" in started) == expected


@pytest.mark.full
@pytest.mark.parametrize("name", small_models.EACH)
def test_features_beside_the_probabilities_change_no_bit_of_these(name):
    from imgcls.backend import keras
    from imgcls.evaluation.compiled_model import CompiledModel

    model = small_models.build(small_models.make_settings(name), (35, 33, 3))
    serving = make_serving_model(make_plain_model(model), 1.5)
    images = numpy.random.default_rng(0).integers(0, 256, (7, 35, 33, 3), numpy.uint8)
    features = serving.get_layer("logits").input
    both = keras.Model(serving.inputs, [serving.outputs[0], features])
    (plain,) = CompiledModel(serving, 4).predict(images[:4])
    probabilities, found = CompiledModel(both, 4).predict(images[:4])
    numpy.testing.assert_array_equal(probabilities, plain)
    assert found.shape == (4, features.shape[-1])
