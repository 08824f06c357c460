"""The command `run`: prepares, trains, evaluates and plots, and goes on where it was."""

from pathlib import Path

import pytest
from experiments import TINY, command, write_experiment

from imgcls.run import Run
from imgcls.run_lookup import find_runs

FIGURES = {"figures": ["learning_curves"]}


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory):
    """The folder of an experiment, its run, and what the command printed."""
    folder = tmp_path_factory.mktemp("run")
    data = {"name": "digits", "store_dir": str(prepared / "data")}
    write_experiment(folder, {**TINY, **FIGURES, "data": data})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        exit_code, stdout, stderr = command("run", "experiment.yaml", "--set", "train.epochs=1")
    assert exit_code == 0, stderr
    (folder / "stdout").write_text(stdout)
    return folder


def test_all_four_steps_are_done_and_reported(copied):
    run = Run(Path("runs/tiny/1"))
    assert run.status.status == "finished"
    assert run.metrics_file("test").exists()
    assert run.report_page.exists()
    stdout = Path("stdout").read_text()
    for text in ("digits: 1,797 images", "val_accuracy", "test split, 359 images", "page: runs/"):
        assert text in stdout
    assert max(map(len, stdout.splitlines()[1:])) <= 80  # the first has a path


def test_the_same_command_again_keeps_what_is_there(copied):
    run = Run(Path("runs/tiny/1"))
    model = run.model_file.stat().st_mtime_ns
    run.report_page.unlink()
    exit_code, _, stderr = command("run", "experiment.yaml", "--set", "train.epochs=1")
    assert exit_code == 0
    assert "runs/tiny/1 is finished; there is nothing to train" in stderr
    assert [each.folder for each in find_runs("tiny")] == [run.folder]
    assert run.model_file.stat().st_mtime_ns == model
    assert run.report_page.exists()


def test_a_mistake_ends_the_first_step_and_leaves_nothing(workspace):
    path = write_experiment(workspace, {**TINY, "data": {"name": "folder", "path": "nowhere"}})
    exit_code, stdout, stderr = command("run", path)
    assert (exit_code, stdout) == (3, "")
    assert "nowhere" in stderr
    assert not Path("runs").exists()
