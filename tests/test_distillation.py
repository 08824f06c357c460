"""Training on the predictions of a teacher: its loss, what it leaves as it is, and resuming."""

import hashlib
import json
import zipfile
from pathlib import Path

import numpy
import pytest
import small_models
from experiments import MIRRORED, SGD, assert_same_result, change_json, experiment, weights
from scipy.special import log_softmax

from imgcls.errors import DataError, EpochLimit, UserError
from imgcls.image.decode import Geometry
from imgcls.losses._distillation import Distillation
from imgcls.run import Run
from imgcls.training import attention
from imgcls.training import teacher as teachers
from imgcls.training.model_description import read_description
from imgcls.verbs.reproduce import reproduce
from imgcls.verbs.train import train

STUDENT = "model={name: cnn, filters: [2], dense: [], dropout: 0.2}"


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory) -> Path:
    """A folder with a finished run, `teacher`."""
    folder = tmp_path_factory.mktemp("teacher")
    settings = experiment(folder, f"data.store_dir={prepared / 'data'}", "train.epochs=1")
    train(settings, folder / "teacher")
    return folder


@pytest.fixture
def distill(trained, digits):
    """Return the experiment of a student, with the settings of its distillation and others."""

    def make(settings="", *overrides):
        section = f"train.distillation={{teacher: {trained / 'teacher'}, {settings}}}"
        return digits(STUDENT, "train.epochs=2", section, *overrides)

    return make


def open_teacher(trained, **settings):
    description = read_description(trained / "teacher" / "model.keras")
    geometry = Geometry(description.shape, description.resize)
    section = Distillation(teacher=str(trained / "teacher"), **settings)
    return teachers.Teacher(section, description.classes, geometry)


def compute_soft_losses(taught, logits, temperature):
    """T^2 times the sum of p log(p / q), by the formula, in float64."""
    log_p, log_q = log_softmax(taught / temperature, 1), log_softmax(logits / temperature, 1)
    return temperature**2 * (numpy.exp(log_p) * (log_p - log_q)).sum(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1, 20])
def test_the_soft_loss_is_that_of_the_formula(temperature):
    from imgcls.backend import tf

    taught, logits = numpy.random.default_rng(0).normal(0, 5, (2, 6, 10))
    found = teachers.compute_soft_losses(tf.constant(taught), tf.constant(logits), temperature)
    numpy.testing.assert_allclose(found, compute_soft_losses(taught, logits, temperature))
    same = teachers.compute_soft_losses(tf.constant(taught), tf.constant(taught), temperature)
    assert numpy.abs(same).max() < 1e-12


def test_the_loss_mixes_that_of_the_labels_with_that_of_the_teachers_logits(trained):
    """The oracle: the teacher's logits up to a constant are the logarithms of its probabilities
    times its temperature.
    """
    from imgcls.backend import keras, tf

    teacher = open_teacher(trained, alpha=0.3, temperature=2.0)
    random = numpy.random.default_rng(1)
    model = trained / "teacher" / "model.keras"
    images = random.integers(0, 17, (5, *read_description(model).shape)).astype(numpy.uint8)
    hard, logits = random.random(5), random.normal(0, 1, (5, 10))
    mixed = teacher.mix_losses(tf.constant(hard), tf.constant(images), [tf.constant(logits)])
    probabilities = keras.models.load_model(model)(images).numpy().astype(numpy.float64)
    taught = read_description(model).calibration.temperature * numpy.log(probabilities)
    expected = 0.7 * hard + 0.3 * compute_soft_losses(taught, logits, 2.0)
    numpy.testing.assert_allclose(mixed, expected, rtol=1e-4)


def test_the_loss_on_attention_is_added_with_its_weight(trained, capsys):
    from imgcls.backend import keras, tf

    teacher, without = open_teacher(trained, attention=3.0), open_teacher(trained)
    student = small_models.build(small_models.make_settings("cnn", filters=[2]), (8, 8, 1))
    images = tf.constant(numpy.random.default_rng(0).integers(0, 17, (5, 8, 8, 1)), tf.uint8)
    outputs = teacher.watch(student)(images)
    hard = tf.zeros(5)
    added = teacher.mix_losses(hard, images, outputs) - without.mix_losses(hard, images, outputs)
    model = keras.models.load_model(trained / "teacher" / "model.keras")
    pairs = attention.pair(model, student)
    sides = [
        keras.Model(network.inputs[0], [each.output for each in side])(images)
        for network, side in zip((model, student), zip(*pairs, strict=True), strict=True)
    ]
    numpy.testing.assert_allclose(added, 3 * attention.compute_losses(*sides), rtol=1e-4)
    noted = ", ".join(f"{taught} with {learned}" for taught, learned in pairs)
    assert f"attention of teacher and student: {noted}" in capsys.readouterr().err


def test_with_an_alpha_of_0_the_weights_are_those_of_ordinary_training(distill, digits, tmp_path):
    train(distill("alpha: 0", "train.epochs=1"), tmp_path / "distilled")
    train(digits(STUDENT, "train.epochs=1"), tmp_path / "ordinary")
    assert_same_result(Run(tmp_path / "distilled"), Run(tmp_path / "ordinary"))


def test_a_distillation_that_was_stopped_continues_to_the_same_bits(distill, tmp_path):
    settings = distill("attention: 10")
    train(settings, tmp_path / "whole")
    with pytest.raises(EpochLimit):
        train(settings, tmp_path / "stopped", epochs=1)
    train(settings, tmp_path / "stopped")
    assert_same_result(Run(tmp_path / "whole"), Run(tmp_path / "stopped"))


@pytest.mark.parametrize(
    "override", ["train.micro_batch_size=16", pytest.param(MIRRORED, marks=pytest.mark.full)]
)
def test_devices_and_micro_batches_train_the_same_student(distill, tmp_path, override):
    common = ("train.epochs=1", "train.precision=float64", f"train.optimizer={SGD % 0.1}")
    train(distill("attention: 10", *common), tmp_path / "one")
    train(distill("attention: 10", *common, override), tmp_path / "other")
    for one, other in zip(
        *(weights(Run(tmp_path / name)) for name in ("one", "other")), strict=True
    ):
        numpy.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-9)


@pytest.mark.full
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_student_learns_in_half_precision(distill, tmp_path, precision):
    found = train(distill("alpha: 1", f"train.precision={precision}"), tmp_path / "run")
    assert numpy.isfinite(found["selected"]["loss"])


def test_a_larger_student_is_noted(distill, tmp_path, capsys):
    train(distill("", "model.filters=[64, 64]", "train.epochs=1"), tmp_path / "run")
    assert "weights, more than" in capsys.readouterr().err


def test_a_teacher_that_is_not_there_or_not_finished_is_refused_before_a_run_exists(
    trained, digits, copied, tmp_path
):
    settings = digits("train.distillation.teacher=nowhere")
    with pytest.raises((UserError, DataError), match="nowhere"):
        train(settings, tmp_path / "run")
    change_json(copied / "teacher" / "status.json", status="interrupted")
    with pytest.raises(DataError, match="is interrupted, not finished"):
        train(digits("train.distillation.teacher=teacher"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_other_classes_and_channels_are_refused_and_other_sizes_noted(trained, capsys):
    section = Distillation(teacher=str(trained / "teacher"))
    description = read_description(trained / "teacher" / "model.keras")
    classes, (height, width, channels) = description.classes, description.shape
    geometry = Geometry(description.shape, description.resize)
    with pytest.raises(UserError, match="same, in the same order"):
        teachers.Teacher(section, classes[::-1], geometry)
    with pytest.raises(UserError, match=f"takes images of {channels} channels"):
        teachers.Teacher(section, classes, Geometry((height, width, 7), description.resize))
    capsys.readouterr()
    teachers.Teacher(section, classes, Geometry((16, 20, channels), description.resize))
    assert f"{height}x{width} pixels instead of 16x20" in capsys.readouterr().err


def test_a_teacher_that_was_compressed_to_litert_is_refused(digits, copied):
    (copied / "teacher" / "compressed.tflite").touch()
    with pytest.raises(UserError, match=r"was compressed to compressed\.tflite"):
        train(digits("train.distillation.teacher=teacher"), copied / "run")


def test_a_run_whose_teacher_changed_is_neither_continued_nor_reproduced(digits, copied):
    settings = digits(STUDENT, "train.epochs=2", "train.distillation.teacher=teacher")
    with pytest.raises(EpochLimit):
        train(settings, copied / "stopped", epochs=1)
    train(settings, copied / "run")
    model = copied / "teacher" / "model.keras"
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    found = {"teacher": "teacher", "model_sha256": sha256}
    assert json.loads((copied / "run" / "teacher.json").read_text()) == found
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr("more", "")
    with pytest.raises(DataError, match=r"the teacher of .*stopped, teacher, has changed"):
        train(settings, copied / "stopped")
    with pytest.raises(DataError, match=r"the teacher of .*run, teacher, has changed"):
        reproduce(Run(copied / "run"))
