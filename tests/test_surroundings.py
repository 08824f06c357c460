"""What surrounds the process: signals of a closed terminal, and encodings."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import imgcls
from imgcls.io import signals


@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_stops_as_a_signal_does_unless_it_is_ignored(ignored):
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL
    previous = signal.signal(signal.SIGHUP, handler)
    try:
        with signals.catch_signals(None, time.monotonic(), None) as request:
            os.kill(os.getpid(), signal.SIGHUP)
            end = time.monotonic() + (0.1 if ignored else 5)
            while request.signal is None and time.monotonic() < end:
                time.sleep(0.01)
        assert request.reason == (None if ignored else "SIGHUP")
        assert signal.getsignal(signal.SIGHUP) == handler
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_a_second_signal_says_what_it_did():
    code = (
        "import os, signal, time\n"
        "from imgcls.io import signals\n"
        "with signals.catch_signals(None, 0.0, None) as request:\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    while request.signal is None: time.sleep(0.01)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(10)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 75
    assert ended.stderr.splitlines()[-1] == (
        "note: SIGINT: stopped at once; the last checkpoint is kept"
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_a_stream_that_lacks_a_letter_gets_its_escape(tmp_path, variables):
    (tmp_path / "e.yaml").write_text(
        "name: e\ndata: {name: folder, path: caf\u00e9}\nmodel: {name: cnn}\n", encoding="utf-8"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "imgcls.cli", "check", str(tmp_path / "e.yaml")],
        env={**os.environ, **variables},
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert b"caf\\xe9" in ended.stdout


def test_processes_import_nothing_from_the_current_folder(tmp_path):
    """Every process that the package starts has the switch `-P`, which leaves out the folder."""
    root = Path(imgcls.__file__).parent
    calls = [
        (path, line)
        for path in root.rglob("*.py")
        for line in path.read_text().splitlines()
        if "sys.executable," in line and "execv" not in line
    ]
    assert len(calls) >= 5
    assert [call for call in calls if 'sys.executable, "-P"' not in call[1]] == []
    (tmp_path / "random.py").write_text("raise SystemExit('imported')")
    command = [sys.executable, "-P", "-c", "import random"]
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
