"""A search whose study is in PostgreSQL, of Debian's package, with a real server in its own folder.

Marked `extras`; without the package, its tests are skipped.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from experiments import free_addresses
from searches import behave, list_starts, search, show, write_search

from imgcls.errors import Interrupted
from imgcls.tuning import outcome

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(not BINARIES, reason="Debian's package postgresql is not installed"),
]


class Server:
    """A server with its data in a folder, which only this test uses."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_addresses(1)[0].rpartition(":")[2]
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        folder.mkdir()
        if os.geteuid() == 0:  # a server refuses to run as root
            shutil.chown(folder, "postgres")
        self.run("initdb", "-A", "trust", "-U", "postgres", "-D", str(folder / "data"))

    def run(self, program: str, *arguments: str) -> None:
        """Run a program of PostgreSQL."""
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
        command = [*(user if os.geteuid() == 0 else []), str(BINARIES[-1] / program), *arguments]
        subprocess.run(
            command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )

    def control(self, *arguments: str) -> None:
        """Start or stop the server."""
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1"
        data, log = str(self.folder / "data"), str(self.folder / "log")
        self.run("pg_ctl", "-D", data, "-l", log, "-o", options, "-w", *arguments)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running server."""
    parent = tmp_path_factory.mktemp("postgresql")
    for folder in (parent, *list(parent.parents)[:2]):
        folder.chmod(0o755)  # pytest's folders are closed to other users, such as the server's
    found = Server(parent / "server")
    found.control("start")
    yield found
    found.control("-m", "immediate", "stop")


def test_a_search_in_postgresql_is_that_in_sqlite(server, prepared, workspace):
    path = write_search(workspace, prepared / "data")
    there = search(path, folder=workspace / "there", storage=server.url)
    here = search(path, folder=workspace / "here")
    assert show(there) == show(here)
    assert not (workspace / "there" / "study.db").exists()


def test_after_a_crash_of_the_database_the_same_command_goes_on(
    server, prepared, workspace, monkeypatch
):
    behave()
    path = write_search(workspace, prepared / "data")
    tell = outcome.tell_result

    def crash_first(opened, job):
        if job.number == 2:
            server.control("-m", "immediate", "stop")  # as kill -9: without writing anything
        tell(opened, job)

    monkeypatch.setattr(outcome, "tell_result", crash_first)
    with pytest.raises(Interrupted, match=r"lost the study's database postgresql\+psycopg://"):
        search(path, storage=server.url)
    server.control("start")
    monkeypatch.setattr(outcome, "tell_result", tell)
    record = search(path, storage=server.url)
    assert [trial.state for trial in record.trials] == ["finished"] * 4
    assert list_starts() == [0, 1, 2, 2, 3]
