"""What `export` refuses, and what a failure leaves behind."""

import errno
import importlib.util
import os
import shutil
import signal
import subprocess
import sys

import pytest
from experiments import change_json, command
from exportable_run import build_logits, list_files, make_run, write_model

from imgcls.backend import tf
from imgcls.errors import DataError, UserError
from imgcls.exporters import saved_model
from imgcls.family import Family
from imgcls.run import Run
from imgcls.verbs import export

NAME = "saved_model"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exportable")
    make_run(folder)
    return folder


@pytest.fixture
def run(trained, tmp_path):
    """A run that was not exported."""
    shutil.copytree(trained / "run", tmp_path / "run")
    return Run(tmp_path / "run")


def test_what_was_exported_before_stays_if_the_next_one_fails(run, monkeypatch):
    export.export(run, formats=[NAME])
    before = list_files(run.exports_folder)

    def fill_the_disk(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(saved_model, "convert", fill_the_disk)
    exit_code, _, stderr = command("export", run.folder, "--format", NAME)
    assert exit_code == 2
    assert f"the disk is full: cannot write {run.exports_folder / NAME}; free some" in stderr
    assert list_files(run.exports_folder) == before
    monkeypatch.undo()
    export.export(run, formats=[NAME])
    assert list_files(run.exports_folder) == before


@pytest.mark.full
def test_a_killed_export_leaves_nothing_that_looks_finished(run):
    program = (
        "import os, signal, sys; from pathlib import Path; from imgcls.exporters import saved_model"
        "; from imgcls.run import Run; from imgcls.verbs import export\n"
        "saved_model.load = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "export.export(Run(Path(sys.argv[1])), formats=['saved_model'])"
    )
    done = subprocess.run([sys.executable, "-c", program, run.folder], capture_output=True)
    assert done.returncode == -signal.SIGKILL
    left = [each.name for each in run.exports_folder.iterdir()]
    assert [name for name in left if not name.startswith(".")] == []
    assert any(name.startswith(".saved_model.") for name in left)
    export.export(run, formats=[NAME])
    assert sorted(each.name for each in run.exports_folder.iterdir()) == [".lock", NAME]


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        ([], "no format is given; give --format, one of "),
        (["saved_modl"], "unknown format 'saved_modl'; allowed: "),
        (["saved_modl"], "(did you mean 'saved_model'?)"),
    ],
)
def test_an_unknown_format_is_an_error_that_lists_them(run, formats, message):
    options = [word for name in formats for word in ("--format", name)]
    exit_code, stdout, stderr = command("export", run.folder, *options)
    assert (exit_code, stdout) == (2, "")
    assert message in stderr


def test_an_unfinished_run_is_refused_with_what_to_run(run):
    run.write_status("interrupted", step=1)
    exit_code, _, stderr = command("export", run.folder, "--format", NAME)
    assert exit_code == 3
    assert f"{run.folder} is interrupted, not finished; run `imgcls train" in stderr
    with pytest.raises(DataError, match="is interrupted, not finished"):
        export.export(run, formats=[NAME])


def test_a_family_is_refused_with_its_runs(tmp_path, monkeypatch):
    runs = [Run(tmp_path / "seed-0"), Run(tmp_path / "seed-1")]
    monkeypatch.setattr(Family, "runs", runs)
    with pytest.raises(UserError, match=r"is a family; export one of its runs: .*/seed-0, .*-1"):
        export.export(Family(tmp_path), formats=[NAME])


def test_a_damaged_model_is_a_one_line_error(run):
    content = run.model_file.read_bytes()
    run.model_file.write_bytes(content[: len(content) // 2])
    exit_code, _, stderr = command("export", run.folder, "--format", NAME)
    assert exit_code == 3
    assert stderr.startswith(f"imgcls: {run.model_file} is damaged (")
    assert len(stderr.splitlines()) == 1


def test_the_model_of_another_run_is_refused(run):
    write_model(run, build_logits(run.data.shape, 10))
    change_json(run.data_file, fingerprint="0" * 64)
    with pytest.raises(DataError, match="is the model of another run: its data's fingerprint"):
        export.export(run, formats=[NAME])


def test_a_converter_that_fails_is_named_in_one_line(run, monkeypatch):
    def fail(*arguments):
        raise RuntimeError("\n\n  the network is too deep\nat converter.cpp:35")

    monkeypatch.setattr(saved_model, "convert", fail)
    exit_code, _, stderr = command("export", run.folder, "--format", NAME)
    assert (exit_code, stderr) == (
        2,
        "imgcls: the converter to saved_model failed: the network is too deep; choose another"
        " format\n",
    )
    assert list_files(run.exports_folder) == []


def test_a_missing_extra_gives_the_line_for_pip(monkeypatch):
    class Settings(saved_model.Settings):
        extra = "fast"
        packages = {"fast-converter": "fast", "fast-runtime": "fast.runtime", "numpy": "numpy"}

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "fast" in name else find(name)
    )
    with pytest.raises(UserError) as caught:
        Settings(name="fast").require_packages()
    assert str(caught.value) == (
        "format fast needs fast-converter and fast-runtime, which are not installed; run: pip"
        " install 'imgcls[fast]'"
    )
