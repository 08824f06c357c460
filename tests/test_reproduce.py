"""`imgcls reproduce`: the same numbers again, or the first that differs."""

import json
import shutil
import zipfile
from pathlib import Path

import numpy
import pytest
from experiments import assert_same_result, command, experiment, json_of

from imgcls.errors import EpochLimit, GateError
from imgcls.run import Run
from imgcls.training.reproduction import Reproduction
from imgcls.verbs import reproduce, train
from imgcls.verbs.prepare import prepare


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A folder with a store and an evaluated run."""
    folder = tmp_path_factory.mktemp("original")
    settings = experiment(
        folder,
        f"data.store_dir={folder / 'data'}",
        "augment=[{name: random_crop, padding: 1}]",
        "model.batch_norm=true",
    )
    prepare(settings)
    train.train(settings, folder / "run")
    exit_code, _, stderr = command(
        "eval", folder / "run", "--set", "evaluate.bootstrap_samples=100"
    )
    assert exit_code == 0, stderr
    return folder


@pytest.fixture
def run(original, workspace):
    """A copy of the run that a test may change; the current folder is otherwise empty."""
    shutil.copytree(original / "run", workspace / "run")
    return Run(Path("run"))


@pytest.fixture(scope="module")
def reproduced(original):
    """The folder of the run, with a reproduction of it that was trained and evaluated."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(original)
        json_of("reproduce", "run", "--run", "again")
    return original


@pytest.fixture
def again(reproduced, run):
    """The name of a finished reproduction of the run, beside it, which is compared as it is."""
    shutil.copytree(reproduced / "again", "again")
    return "again"


def change_log(run, epoch, **values):
    rows = [row.model_dump() for row in run.log]
    rows[epoch - 1].update(values)
    run.log_file.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_run_is_reproduced_from_its_folder_alone_to_the_last_bit(run):
    summary = json_of("reproduce", "run")
    assert (summary["result"], summary["difference"]) == ("identical", None)
    whole = ["data", "log of all 2 epochs", "weights", "temperature", "metrics of the test split"]
    assert (summary["compared"], summary["not_compared"]) == (whole, [])
    again = Run(Path(summary["reproduction"]))
    assert again.reproduction == Reproduction(run="run", epochs=None)
    assert again.model_file.read_bytes() == run.model_file.read_bytes()
    assert (
        json.loads(again.metrics_file("test").read_text())["metrics"]
        == json.loads(run.metrics_file("test").read_text())["metrics"]
    )


def test_the_first_different_number_of_the_log_is_named_with_exit_code_6(run):
    change_log(run, 2, val_loss=0.125)
    exit_code, stdout, stderr = command("reproduce", "run", "--run", "again", "--json")
    assert exit_code == 6
    assert "again differs from run: epoch 2, step 12: val_loss was 0.125 and is " in stderr
    assert Run(Path("again")).status.status == "finished"
    with pytest.raises(GateError) as failure:
        reproduce.reproduce(run, folder=Path("again"))
    assert stderr.endswith(f"imgcls: {failure.value}\n")
    assert json.loads(stdout) == failure.value.result
    assert failure.value.result["result"] == "different"


def test_a_different_weight_is_named(run, again):
    from imgcls.backend import keras

    model = keras.models.load_model(run.model_file)
    kernel = next(variable for variable in model.variables if "kernel" in variable.path)
    kernel.assign(kernel + 0.5)
    model.save(run.model_file)
    exit_code, _, stderr = command("reproduce", "run", "--run", again)
    assert exit_code == 6
    assert "model.keras: layers/conv2d/vars/0 differs by up to 0.5" in stderr


def test_a_different_temperature_is_named(run, again):
    with zipfile.ZipFile(run.model_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    description = json.loads(members["imgcls.json"])
    temperature = description["calibration"]["temperature"]
    description["calibration"]["temperature"] = 2.5
    members["imgcls.json"] = json.dumps(description).encode()
    with zipfile.ZipFile(run.model_file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    exit_code, _, stderr = command("reproduce", "run", "--run", again)
    assert exit_code == 6
    assert f"model.keras: the temperature was 2.5 and is {temperature}" in stderr


def test_a_different_metric_is_named(run, again):
    summary = json.loads(run.metrics_file("test").read_text())
    summary["metrics"]["brier"] = 0.5
    run.metrics_file("test").write_text(json.dumps(summary))
    exit_code, _, stderr = command("reproduce", "run", "--run", again)
    assert exit_code == 6
    assert "test split: brier was 0.5 and is " in stderr


def test_a_tolerance_allows_as_much_and_no_more(run, again):
    summary = json.loads(run.metrics_file("test").read_text())
    summary["metrics"]["accuracy"] += 0.004
    run.metrics_file("test").write_text(json.dumps(summary))
    summary = json_of("reproduce", "run", "--run", again, "--tolerance", "accuracy=0.005")
    assert (summary["result"], summary["difference"]) == ("within tolerance", None)
    assert summary["compared"] == ["data", "accuracy (test split)"]
    assert summary["not_compared"] == ["log", "weights", "temperature", "other results"]
    exit_code, _, stderr = command(
        "reproduce", "run", "--run", again, "--tolerance", "accuracy=0.003"
    )
    assert exit_code == 6
    assert "which differs by more than 0.003" in stderr


def test_a_prefix_is_compared_without_training_the_rest_and_can_be_continued(run):
    change_log(run, 2, val_loss=0.125)
    summary = json_of("reproduce", "run", "--epochs", "1", "--run", "again")
    assert (summary["result"], summary["difference"]) == ("identical", None)
    assert summary["compared"] == ["data", "log of epoch 1 of 2"]
    assert summary["not_compared"] == ["log of later epochs", "weights", "temperature", "metrics"]
    again = Run(Path("again"))
    assert again.reproduction == Reproduction(run="run", epochs=1)
    assert (len(again.log), again.status.status, again.status.exit_code) == (
        1,
        "interrupted",
        75,
    )
    json_of("train", "again/config.yaml", "--run", "again")
    assert again.model_file.read_bytes() == run.model_file.read_bytes()


def test_changed_data_ends_with_exit_code_3(run, original):
    changed = Path("elsewhere")
    shutil.copytree(original / "data", changed)
    images = next(changed.glob("*/images.u8"))
    images.write_bytes(images.read_bytes()[:-1] + b"\xff")
    exit_code, _, stderr = command(
        "reproduce", "run", "--set", "data.store_dir=elsewhere", "--run", "again"
    )
    assert exit_code == 3
    assert "Traceback" not in stderr
    assert not Path("again").exists()


@pytest.mark.full
def test_images_that_are_added_change_neither_a_run_that_goes_on_nor_its_reproduction(
    workspace, capsys
):
    def data(count):
        pixels = numpy.random.default_rng(0).integers(0, 256, (90, 8, 8, 1), dtype=numpy.uint8)
        numpy.savez("toy.npz", images=pixels[:count], labels=numpy.arange(count) % 2)
        return prepare(settings)

    settings = experiment(workspace, "data={name: arrays, path: toy.npz}")
    data(60)
    train.train(settings, Path("whole"))
    with pytest.raises(EpochLimit):
        train.train(settings, Path("run"), epochs=1)
    assert data(90).assignments.model_dump() == {"unchanged": 60, "new": 30}
    capsys.readouterr()
    train.train(settings, Path("run"))
    assert "run continues on the data and the split that it started with" in capsys.readouterr().err
    assert_same_result(Run(Path("run")), Run(Path("whole")))
    assert command("eval", "run")[0] == 0
    assert json_of("reproduce", "run")["difference"] is None
    train.train(settings, Path("new"))
    assert Run(Path("new")).data.sizes["train"] > Run(Path("run")).data.sizes["train"]


def test_what_changed_in_the_environment_is_reported_beside_a_difference(run, again):
    environment = json.loads(run.environment_file.read_text())
    environment["versions"]["keras"] = "3.0.0"
    earlier = {key: value for key, value in environment.items() if key != "earlier_starts"}
    earlier["variables"] = {**earlier["variables"], "XLA_FLAGS": "--a", "CUDA_VISIBLE_DEVICES": "1"}
    environment["earlier_starts"] = [earlier]
    run.environment_file.write_text(json.dumps(environment))
    change_log(run, 1, loss=0.125)
    exit_code, stdout, stderr = command("reproduce", "run", "--run", again, "--json")
    assert exit_code == 6
    changes = [
        f"keras was 3.0.0 and is {__import__('keras').__version__}",
        "XLA_FLAGS was --a and is not set",
    ]
    assert json.loads(stdout)["environment_changed"] == changes
    assert "epoch 1, step 6: loss was 0.125" in stderr
    assert f"; the environment changed: {'; '.join(changes)}" in stderr


def test_a_result_that_is_identical_says_so_in_text(run):
    lines = command("reproduce", "run", "--epochs", "1")[1].splitlines()
    assert lines[2:5] == [
        "result               identical",
        "compared             data, log of epoch 1 of 2",
        "not_compared         log of later epochs, weights, temperature, metrics",
    ]


def test_a_run_that_train_made_is_compared_without_becoming_a_reproduction(run):
    shutil.copytree("run", "again")
    assert json_of("reproduce", "run", "--run", "again")["result"] == "identical"
    assert not Run(Path("again")).is_reproduction


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "--tolerance", "accuracy"], "needs the form QUANTITY=VALUE"),
        (["run", "--tolerance", "accuracy=-1"], "-1.0 is not a finite number from 0 on"),
        (["run", "--tolerance", "accuracy=nan"], "'nan' is not a finite number"),
        (["run", "--tolerance", "acuracy=0.1"], "did you mean"),
        (["run", "--epochs", "3"], "has 2 epochs; give a number from 1 to 2"),
        (["run", "--epochs", "0"], "has 2 epochs; give a number from 1 to 2"),
        (["run", "--run", "run"], "--run run is the run itself"),
        (["nothing"], "nothing is not a run: it does not exist"),
    ],
)
def test_a_wrong_command_line_ends_with_exit_code_2_before_any_training(run, arguments, message):
    exit_code, _, stderr = command("reproduce", *arguments)
    assert exit_code == 2
    assert message in stderr
    assert not Path("runs").exists()


@pytest.mark.full
def test_a_reproduction_that_was_interrupted_continues_where_it_stopped_and_is_compared(run):
    arguments = ("reproduce", "run", "--run", "again")
    exit_code, _, stderr = command(*arguments, "--set", "train.time_limit=0.0001s")
    assert exit_code == 75
    assert "then compare with: imgcls reproduce run --run again" in stderr
    assert Run(Path("again")).is_reproduction
    assert json_of(*arguments)["difference"] is None
    assert json_of(*arguments)["difference"] is None  # a finished one is compared once more
