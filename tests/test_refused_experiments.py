"""A mistake in an experiment leaves no run and no family, whenever it is found."""

from pathlib import Path

import pytest
from experiments import MIRRORED, TINY, command, write_experiment

from imgcls.errors import OutOfMemoryError, UserError
from imgcls.run import Run
from imgcls.verbs import train, train_family

MISTAKES = {
    "class": ("train.class_weights={unknown: 2}",),
    "layers": ("train.freeze=[{layers: nothing}]",),
    "factors": ("train.learning_rate_factors=[{layers: nothing, factor: 0.1}]",),
    "phase": ("train.freeze=[{depth: 1, until: 500 steps}]",),
    "schedule": ("train.schedule={name: cosine, warmup: 500 steps}",),
    "batch": (MIRRORED, "train.batch_size=255"),
    "small images": ("model.filters=[4, 4, 4, 4, 4]",),
    "batch norm": ("train.precise_batch_norm={batches: 2}",),
}


def list_left():
    """Return what is left in runs/: its files, and the folders of runs."""
    found = Path("runs").rglob("*")
    return [path for path in found if path.is_file() or path.name[-1].isdigit()]


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_that_the_built_model_shows_leaves_no_run(digits, mistake):
    with pytest.raises(UserError):
        train.train(digits(*mistake))
    assert list_left() == []


def test_weights_of_another_architecture_leave_no_run(digits):
    train.train(digits("train.epochs=1"), Path("trained"))
    with pytest.raises(UserError, match="is of another architecture"):
        train.train(digits("model.weights=trained", "model.filters=[8]"))
    assert list_left() == []


def test_the_corrected_experiment_gets_the_number_of_the_refused_one(digits):
    with pytest.raises(UserError):
        train.train(digits(*MISTAKES["layers"]))
    assert train.train(digits("train.epochs=1"))["run"] == "runs/tiny/1"


@pytest.mark.parametrize(
    ("by", "numbers"), [("seed", [3, 4]), ("fold", [1, 2])], ids=["seeds", "folds"]
)
def test_a_mistake_leaves_no_family(digits, by, numbers):
    from imgcls.family import Members

    with pytest.raises(UserError, match="nothing"):
        train_family.train(digits(*MISTAKES["layers"]), members=Members(by, numbers))
    assert list_left() == []


def test_a_family_with_a_finished_run_stays(digits, monkeypatch):
    from imgcls.family import Family, Members

    trained = []

    def train_once(*arguments, **settings):
        if trained:
            raise UserError("a mistake")
        trained.append(original(*arguments, **settings))

    original = train.train
    monkeypatch.setattr(train, "train", train_once)
    with pytest.raises(UserError, match="a mistake"):
        train_family.train(digits("train.epochs=1"), members=Members("seed", [3, 4]))
    assert Family(Path("runs/tiny/family-1")).count_finished() == 1


def test_a_folder_with_other_files_stays(digits):
    Path("run").mkdir()
    Path("run/.gitignore").write_text("*")
    with pytest.raises(UserError, match="nothing"):
        train.train(digits(*MISTAKES["layers"]), Path("run"))
    assert Path("run/.gitignore").read_text() == "*"
    assert Run(Path("run")).status.status == "failed"


def test_a_run_with_a_checkpoint_stays(digits, monkeypatch):
    from imgcls.training.steps import Steps

    def refuse(*arguments):
        raise UserError("a mistake")

    monkeypatch.setattr(Steps, "train", refuse)
    with pytest.raises(UserError, match="a mistake"):
        train.train(digits(), Path("run"))
    run = Run(Path("run"))
    assert (run.status.status, len(run.state_files())) == ("failed", 1)


def test_a_lack_of_memory_is_no_mistake(digits, monkeypatch):
    from imgcls.training import build

    def fail(*arguments):
        raise OutOfMemoryError("out of memory")

    monkeypatch.setattr(build, "build_model", fail)
    with pytest.raises(OutOfMemoryError):
        train.train(digits(), Path("run"))
    assert Run(Path("run")).status.exit_code == OutOfMemoryError.exit_code


def test_a_run_that_another_process_trains_stays(digits):
    """The same experiment with a mistake, started twice: the second start is refused at once."""
    from imgcls.training.new_run import create_run

    run = create_run(digits(*MISTAKES["layers"]), Path("run"))
    with run.lock(), pytest.raises(UserError, match="another process"):
        train.train(run.experiment, run.folder)
    assert run.config_file.exists()


def test_the_command_ends_with_the_message_alone(prepared, workspace):
    data = {"name": "digits", "store_dir": str(prepared / "data")}
    path = write_experiment(workspace, {**TINY, "data": data})
    exit_code, stdout, stderr = command("train", path, "--set", *MISTAKES["layers"])
    assert (exit_code, stdout) == (2, "")
    assert stderr.splitlines()[-1].startswith("imgcls: train.freeze.0.layers is 'nothing'")
    assert list_left() == []
