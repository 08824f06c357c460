"""Families with mistakes: one message, the right exit code, and nothing overwritten."""

import json
import shutil
from pathlib import Path

import pytest
from experiments import TINY, change_json, command, json_of, write_experiment

from imgcls.errors import UserError
from imgcls.experiment_file import read_experiment
from imgcls.family import Family, Members, create_family

SMALL = {**TINY, "train": {**TINY["train"], "epochs": 1}}
FAMILY = "runs/tiny/family-1"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with prepared digits, a family of seeds 0 and 3, and their evaluation."""
    folder = tmp_path_factory.mktemp("families")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_experiment(folder, SMALL)
        json_of("prepare", "experiment.yaml")
        json_of("train", "experiment.yaml", "--seeds", "0,3")
        json_of("eval", FAMILY, "--set", "evaluate.bootstrap_samples=100")
    return folder


def test_an_experiment_in_the_folder_given_for_a_family_is_not_overwritten(copied):
    Path("mine").mkdir()
    text = "# My notes.\n" + Path("experiment.yaml").read_text()
    Path("mine/experiment.yaml").write_text(text)
    exit_code, _, stderr = command(
        "train", "mine/experiment.yaml", "--seeds", "0,1", "--run", "mine"
    )
    assert (exit_code, "mine exists, but is not a family" in stderr) == (2, True)
    assert Path("mine/experiment.yaml").read_text() == text
    assert [path.name for path in Path("mine").iterdir()] == ["experiment.yaml"]


@pytest.mark.parametrize("target", [FAMILY, "experiment.yaml"])
def test_predict_takes_one_run_of_a_family(copied, target):
    exit_code, _, stderr = command("predict", target, "image.png")
    assert exit_code == 2
    assert f"{FAMILY} is a family of runs; give the folder of one" in stderr
    assert f"{FAMILY}/seed-0, {FAMILY}/seed-3" in stderr


def test_an_interrupted_creation_of_a_family_is_continued(copied):
    experiment = read_experiment(Path("experiment.yaml"))
    folder = Path("again")
    folder.mkdir()
    (folder / ".experiment.yaml.12ab.tmp").write_text("half")
    (folder / "experiment.yaml").write_text(experiment.to_yaml())
    family = create_family(experiment, Members("seed", [0, 1]), "0" * 64, folder)
    assert family.record.numbers == [0, 1]
    assert not list(folder.glob("*.tmp"))


def test_a_family_that_another_process_just_created_is_left_as_it_is(copied):
    experiment = read_experiment(Path("experiment.yaml"))
    create_family(experiment, Members("seed", [0, 1]), "0" * 64, Path("again"))
    family = create_family(experiment, Members("seed", [5]), "0" * 64, Path("again"))
    assert family.record.numbers == [0, 1]


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (["--folds", "500"], 3, "classes with fewer than 500 images"),
        (
            ["--folds", "2", "--set", "data.validation=0", "--set", "train.select_weights=best"],
            2,
            "the validation split is empty",
        ),
    ],
)
def test_no_family_is_created_that_cannot_be_trained(copied, options, exit_code, message):
    json_of("prepare", "experiment.yaml", *options[2:])
    result = command("train", "experiment.yaml", *options)
    assert (result[0], message in result[2]) == (exit_code, True)
    assert sorted(path.name for path in Path("runs/tiny").iterdir()) == ["family-1"]


def test_a_damaged_family_does_not_keep_a_new_one_from_training(copied, monkeypatch):
    Path(FAMILY, "family.json").write_text("{")
    monkeypatch.setattr("imgcls.verbs.train_family._train_member", lambda *_: None)
    _, _, stderr = command("train", "experiment.yaml", "--seeds", "0,3")
    assert f"note: not used: {FAMILY}/family.json is damaged" in stderr
    assert Family(Path("runs/tiny/family-2")).record.numbers == [0, 3]


@pytest.mark.parametrize(
    ("by", "numbers", "problem"),
    [
        ("seed", [0, 3, 3], "numbers has one of them twice"),
        ("seed", [-1, 3], "numbers[0]: should be"),
        ("seed", [2**63, 3], "numbers[0]: should be"),
        ("fold", [1, 3], "should be those of 2 folds"),
    ],
)
def test_a_family_with_impossible_members_is_damaged(copied, by, numbers, problem):
    change_json(Path(FAMILY, "family.json"), by=by, numbers=numbers)
    exit_code, _, stderr = command("eval", FAMILY)
    assert (exit_code, "family.json is damaged" in stderr) == (3, True)
    assert problem in stderr


def test_a_run_in_the_place_of_another_is_not_counted_twice(copied):
    shutil.rmtree(Path(FAMILY, "seed-3"))
    shutil.copytree(Path(FAMILY, "seed-0"), Path(FAMILY, "seed-3"))
    exit_code, _, stderr = command("eval", FAMILY)
    assert exit_code == 3
    assert "seed-3 was not trained with the settings of its family" in stderr


@pytest.mark.parametrize(
    ("seed", "number", "message"),
    [
        (2**63 - 2, 3, f"the last seed would be {2**63}"),
        (0, 10**12, "needs a whole number from 1 to 10,000"),
    ],
)
def test_seeds_beyond_the_largest_are_refused_at_once(copied, seed, number, message):
    exit_code, _, stderr = command(
        *["train", "experiment.yaml", "--num-seeds", number, "--set", f"seed={seed}"]
    )
    assert (exit_code, message in stderr) == (2, True)


def test_reproduce_checks_every_run_of_a_family_before_it_trains_one(copied):
    log = Path(FAMILY, "seed-3/log.jsonl")
    first = json.loads(log.read_text())
    log.write_text(f"{json.dumps(first)}\n{json.dumps({**first, 'epoch': 2, 'step': 12})}\n")
    exit_code, _, stderr = command("reproduce", FAMILY, "--epochs", "2")
    assert (exit_code, stderr.count("reproducing")) == (2, 0)
    assert "seed-0 has 1 epochs" in stderr
    assert not Path("runs/tiny/reproduction-1").exists()


@pytest.mark.parametrize("folder", [FAMILY, "data", "experiment.yaml"])
def test_reproduce_writes_into_no_folder_with_other_files(copied, folder):
    before = sorted(Path().rglob("*"))
    exit_code, _, stderr = command("reproduce", FAMILY, "--run", folder)
    assert (exit_code, f"--run {folder} " in stderr) == (2, True)
    assert sorted(Path().rglob("*")) == before


def test_a_family_without_the_log_of_a_run_says_how_to_restore_it(copied):
    Path(FAMILY, "seed-3/log.jsonl").unlink()
    for name in ("plot", "reproduce"):
        exit_code, _, stderr = command(name, FAMILY, *["roc"][: name == "plot"])
        assert (exit_code, "seed-3 has no log of its epochs; run the" in stderr) == (3, True)


def test_a_family_evaluated_without_metrics_has_no_figure_of_their_spread(copied):
    json_of("eval", FAMILY, "--set", "evaluate.metrics=[]", "--set", "evaluate.intervals=[]")
    exit_code, stdout, stderr = command("plot", FAMILY, "learning_curves")
    assert (exit_code, "spread.png" in stdout) == (0, False)
    assert f"no spread: {FAMILY} was evaluated without the metrics" in stderr


def test_a_name_too_long_for_the_file_system_is_the_users_mistake(copied):
    exit_code, _, stderr = command("eval", "a" * 300)
    assert (exit_code, stderr.endswith("the name is too long; give a shorter one\n")) == (2, True)


def test_a_family_cannot_be_created_in_a_file(copied):
    experiment = read_experiment(Path("experiment.yaml"))
    with pytest.raises(UserError, match="choose a"):
        create_family(experiment, Members("seed", [0]), "0" * 64, Path("experiment.yaml"))
