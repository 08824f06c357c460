"""`eval --corruptions` measures a run on corrupted images; plain Keras finds the same numbers."""

import gc
import json
import re
import weakref
from pathlib import Path

import numpy
import pytest
from experiments import TINY, command, json_of, write_experiment
from sklearn.metrics import log_loss

from imgcls import parts
from imgcls.backend import keras
from imgcls.evaluation.compiled_model import BATCHES_AHEAD, READING_THREADS
from imgcls.evaluation.corrupted import CorruptedReader
from imgcls.evaluation.embedding import find_nearest, read_embedding
from imgcls.evaluation.robustness_record import Robustness
from imgcls.run import Run
from imgcls.seeds import derive_seed
from imgcls.store import lookup

CHOSEN = "evaluate.corruptions=[{name: gaussian_noise}, {name: contrast}]"
QUICK = ("--set", "evaluate.bootstrap_samples=100")
FEW = ("--set", CHOSEN, "--set", "evaluate.corruption_images=100")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with prepared digits and a run, of which nothing is evaluated."""
    folder = tmp_path_factory.mktemp("robustness")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        optimizer = {"name": "adam", "learning_rate": 0.01}
        train = {**TINY["train"], "epochs": 25, "optimizer": optimizer}
        write_experiment(folder, {**TINY, "train": train})
        json_of("prepare", "experiment.yaml")
        json_of("train", "experiment.yaml", "--run", "run")
    return folder


@pytest.fixture
def measured(copied) -> dict:
    return json_of("eval", "run", "--corruptions", *FEW)


def test_the_numbers_are_those_of_plain_keras_on_the_corrupted_images(copied, measured):
    run = Run(Path("run"))
    store, split = lookup.open_run_store(run.data, "data")
    seed = derive_seed(run.experiment.split_seed, "corruptions")
    generator = numpy.random.Generator(numpy.random.Philox(seed))
    chosen = numpy.sort(generator.choice(split.get_indices("test"), 100, replace=False))
    model = keras.models.load_model(run.model_file, compile=False)
    labels = store.labels[chosen]
    assert [(each["corruption"], each["severity"]) for each in measured["corrupted"]] == [
        (name, i) for name in ("gaussian_noise", "contrast") for i in range(1, 6)
    ]
    for each in measured["corrupted"][::4]:
        settings = parts.make_default_settings("corruptions", each["corruption"])
        reader = store.open_reader(split.geometry)
        images = CorruptedReader(reader, settings, each["severity"], seed).read(chosen)
        probabilities = model.predict(images, verbose=0)
        assert each["accuracy"] == (probabilities.argmax(axis=1) == labels).mean()
        assert each["log_loss"] == pytest.approx(
            log_loss(labels, probabilities, labels=range(10)), rel=1e-4
        )
    errors = [1 - each["accuracy"] for each in measured["corrupted"]]
    assert measured["mean_error"] == pytest.approx(numpy.mean(errors))
    assert (measured["images"], measured["split_images"]) == (100, 359)


def test_the_clean_images_are_the_same_ones_without_a_corruption(copied, measured):
    clean = measured["clean"]
    strongest = measured["corrupted"][4]
    assert clean["accuracy"] > strongest["accuracy"]
    low, high = clean["interval"]
    assert low < clean["accuracy"] < high


def test_the_record_reads_back_and_the_same_command_writes_the_same_bytes(copied, measured):
    run = Run(Path("run"))
    before = run.robustness_file("test").read_bytes()
    assert (
        Robustness.model_validate(json.loads(before)).model_dump()
        == Robustness.model_validate(measured).model_dump()
    )
    json_of("eval", "run", "--corruptions", *FEW)
    assert run.robustness_file("test").read_bytes() == before


def test_the_text_says_that_it_is_not_comparable_and_shows_both_tables(copied):
    exit_code, stdout, stderr = command("eval", "run", "--corruptions", *FEW)
    assert exit_code == 0
    assert stdout == Run(Path("run")).robustness_report_file("test").read_text()
    assert "not comparable with published results on ImageNet-C" in " ".join(stdout.split())
    assert "100 of 359 images, drawn at random" in stdout
    assert re.search(r"^contrast +(\d\.\d{4} *){6}$", stdout, re.MULTILINE)
    assert "expected calibration error by severity" in stdout
    assert max(map(len, stdout.splitlines())) <= 80
    assert re.search(r"^gaussian_noise, severity 3: accuracy 0\.\d{4}$", stderr, re.MULTILINE)


def test_gates_take_the_mean_and_every_file_is_written_before_they_fail(copied):
    exit_code, _, stderr = command(
        "eval", "run", "--corruptions", *FEW, "--fail-under", "mean_corrupted_accuracy=0.999"
    )
    assert exit_code == 6
    assert "mean_corrupted_accuracy is 0." in stderr
    assert Run(Path("run")).robustness_file("test").exists()
    exit_code, _, stderr = command(
        "eval", "run", "--corruptions", *FEW, "--fail-under", "accuracy=0.1"
    )
    assert exit_code == 2
    assert "allowed: clean_accuracy, mean_corrupted_accuracy" in stderr


def test_a_corruption_is_listed_once(copied):
    exit_code, _, stderr = command(
        "eval", "run", "--corruptions", "--set", "evaluate.corruptions=[{name: fog}, {name: fog}]"
    )
    assert exit_code == 2
    assert "lists fog more than once" in stderr


def test_an_artifact_and_an_empty_split_are_refused_in_one_line(copied):
    exit_code, _, stderr = command("eval", "run", "--corruptions", "--artifact", "x.onnx")
    assert exit_code == 2
    assert "give it without --artifact" in stderr
    exit_code, _, stderr = command("eval", "run", "--corruptions", "--split", "tset")
    assert exit_code == 2
    assert "did you mean 'test'" in stderr


def test_the_map_of_features_is_of_what_enters_the_last_layer(copied):
    run = Run(Path("run"))
    json_of("eval", "run", "--set", "evaluate.embedding=40", *QUICK)
    found = read_embedding(run, "test")
    store, split = lookup.open_run_store(run.data, "data")
    places = {name: i for i, name in zip(split.test, store.get_ids(split.test), strict=True)}
    indices = numpy.array([places[name] for name in found.ids.tolist()])
    model = keras.models.load_model(run.model_file, compile=False)
    head = next(layer for layer in model.layers if layer.name == "logits")
    images = store.open_reader(split.geometry).read(indices)
    features = keras.Model(model.inputs, head.input).predict(images, verbose=0)
    nearest = found.labels[find_nearest(features)]
    assert (nearest == found.neighbors).mean() > 0.97  # but for ties
    assert found.labels.tolist() == store.labels[indices].tolist()
    assert (found.predicted == model.predict(images, verbose=0).argmax(axis=1)).all()
    before = run.embedding_file("test").stat().st_mtime_ns
    json_of("eval", "run", "--set", "evaluate.embedding=40", *QUICK)
    assert run.embedding_file("test").stat().st_mtime_ns == before


def test_memory_does_not_grow_with_the_number_of_corruptions(copied):
    """Only the probabilities of one corruption are alive at a time, and no corrupted image."""
    alive, most = [], []

    def watch(self, indices):
        gc.collect()
        alive[:] = [each for each in alive if each() is not None]
        most.append(len(alive))
        images = numpy.array(read(self, indices))
        alive.append(weakref.ref(images))
        return images

    read = CorruptedReader.read
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CorruptedReader, "read", watch)
        json_of("eval", "run", "--corruptions", *FEW)
    assert len(most) == 2 * 5  # one batch each
    assert max(most) <= BATCHES_AHEAD + READING_THREADS + 1
