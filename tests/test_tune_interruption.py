"""A search that is killed, frozen or run twice: each trial is one row, none is lost or repeated."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from searches import FAKE, behave, list_starts, read_search, search, show, write_search

from imgcls.io.signals import StopRequest
from imgcls.tuning import database, results, study
from imgcls.tuning.folder import StudyFolder
from imgcls.tuning.leases import Leases
from imgcls.tuning.scheduler import Scheduler
from imgcls.tuning.slots import Slot
from imgcls.verbs import tune as verb

pytestmark = pytest.mark.extras
TESTS = Path(__file__).parent
PROGRAM = """
import sys
from pathlib import Path
from searches import search
search(Path(sys.argv[1]), jobs=int(sys.argv[2]), grace=float(sys.argv[3]))
"""
"""A search in a process of its own: the experiment, the number of jobs, the grace period."""


@pytest.fixture
def path(prepared, workspace):
    """An experiment with a search of 4 trials, each of which takes a second."""
    behave(seconds=0.5)
    return write_search(workspace, prepared / "data")


@pytest.fixture
def start(path):
    """A function that starts the search in another process; it is killed at the end."""
    started = []

    def run(jobs: int = 1, grace: float = 60) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent}"}
        words = [sys.executable, "-c", PROGRAM, str(path), str(jobs), str(grace)]
        process = subprocess.Popen(
            words, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def open_study(path: Path, grace: float = 60) -> study.OpenStudy:
    """Open the study of a search, as a command does."""
    experiment = read_search(path)
    data = verb._describe_data(experiment)
    folder = StudyFolder(path.parent / "study")
    return study.open_study(experiment, experiment.tune, data, folder, None, grace)


def run_trials(opened: study.OpenStudy) -> list[str]:
    """Run the trials of an open study; return the states of those that count."""
    Scheduler(opened, [Slot()], StopRequest(), FAKE).run()
    return [trial.state for trial in results.make_record(opened, 0).trials]


def wait_for(condition, seconds: float = 60) -> None:
    """Wait until a condition holds.

    Raises:
        TimeoutError: it does not.
    """
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def count_starts() -> int:
    """Return how many trainings were started so far."""
    return len(list_starts()) if Path("starts.txt").exists() else 0


def find_trainings(folder: Path) -> list[int]:
    """Return the processes of trainings that run in a folder."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            words = (each / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            continue
        if b"train" in words and any(word.startswith(os.fsencode(folder)) for word in words):
            found.append(int(each.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_same_command_goes_on_after_a_signal(number, path, start, workspace):
    process = start()
    wait_for(lambda: count_starts() == 2)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0
    if number == signal.SIGTERM:
        assert "SIGTERM; run the same command again to continue" in stderr
    wait_for(lambda: not find_trainings(workspace), 10)  # it ends with its parent
    behave()
    record = search(path)
    assert show(record) == show(search(path, folder=workspace / "undisturbed"))
    assert list_starts()[:5] == [0, 1, 1, 2, 3]


def test_two_commands_do_each_trial_once(path, start):
    both = [start(), start()]
    for process in both:
        process.communicate(timeout=120)
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(list_starts()) == [0, 1, 2, 3]
    assert len(open_study(path).list_trials()) == 4


def test_a_frozen_commands_late_result_is_refused_and_said_to_be(path, start):
    frozen = start()
    wait_for(lambda: count_starts() == 1)
    frozen.send_signal(signal.SIGSTOP)
    behave()
    search(path, grace=1)
    frozen.send_signal(signal.SIGCONT)
    _, stderr = frozen.communicate(timeout=60)
    assert frozen.returncode == 0, stderr
    assert "trial 0: this command did not respond" in stderr
    assert "its late result is refused" in stderr
    assert len(open_study(path).list_trials()) == 4


@pytest.mark.full
def test_six_commands_that_create_a_study_at_once_all_work(path, start):
    behave()
    processes = [start() for _ in range(6)]
    for process in processes:
        process.communicate(timeout=300)
    assert [process.returncode for process in processes] == [0] * 6
    assert sorted(list_starts()) == [0, 1, 2, 3]


def test_a_trial_without_a_lease_is_taken_over_after_the_grace_period(path):
    """As if the command was killed right after it asked for the trial."""
    behave()
    open_study(path).study.ask()
    assert run_trials(open_study(path, grace=0.5)) == ["finished"] * 4
    assert sorted(list_starts()) == [0, 1, 2, 3]


def test_a_trial_too_many_is_withdrawn_and_does_not_count(path):
    """As if two commands asked for the last trial at once, and one was then killed."""
    behave()
    assert run_trials(open_study(path)) == ["finished"] * 4
    open_study(path).study.ask()
    opened = open_study(path, grace=0)
    assert run_trials(opened) == ["finished"] * 4
    assert [trial.state.name for trial in opened.study.trials][4:] == ["FAIL"]
    assert count_starts() == 4


def test_of_two_commands_one_gets_a_lease(workspace):
    folder = StudyFolder(workspace / "study")
    folder.folder.mkdir()
    database.require_optuna()
    storage = database.open_storage(database.make_url(folder, None))
    leases = [Leases(storage.engine, "a/study", folder, grace) for grace in (60, 60, 0)]
    leases[0].create_table()
    assert leases[0].insert(3)
    assert not leases[1].insert(3)
    assert leases[0].acquire(3)
    assert not leases[1].acquire(3)
    assert leases[2].acquire(3)  # its grace period is over at once
    assert leases[0].renew([3]) == [3]
    assert leases[2].renew([3]) == []
    leases[2].release(3)
    assert leases[1].acquire(3)


def test_the_lease_of_a_command_that_has_ended_here_is_free_at_once(workspace):
    folder = StudyFolder(workspace / "study")
    folder.folder.mkdir()
    database.require_optuna()
    storage = database.open_storage(database.make_url(folder, None))
    one, other = (Leases(storage.engine, "a/study", folder) for _ in range(2))
    one.create_table()
    one.insert(0)
    assert not other.acquire(0)  # nobody knows whether it runs
    folder.tuner_lock(one.tuner).parent.mkdir()
    folder.tuner_lock(one.tuner).touch()
    assert other.acquire(0)


@pytest.mark.full
def test_the_memory_of_a_search_is_flat(prepared, workspace):
    path = write_search(workspace, prepared / "data", trials=50)
    opened, used = open_study(path), {}

    def measure(scheduler: Scheduler, ended: int | None) -> None:
        if ended is not None:
            used[ended] = int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    Scheduler(opened, [Slot()], StopRequest(), FAKE, measure).run()
    assert used[49] - used[10] < 10 * 2**20
