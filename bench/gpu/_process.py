"""Runs a check in a process of its own: `python -m bench.gpu._process CHECK TARGET FOLDER`.

A check that changes TensorFlow's settings, or ends its process, does not disturb the others.
"""

import contextlib
import dataclasses
import importlib
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

from bench.gpu._row import Row, Target

ROOT = Path(__file__).parents[2]
CHECKS = tuple(
    path.stem for path in sorted(Path(__file__).parent.glob("*.py")) if path.stem[0] != "_"
)
TIMEOUT = 900.0
"""Seconds after which a check is ended."""


def run_check(name: str, target: Target, folder: Path, timeout: float = TIMEOUT) -> list[Row]:
    """Return the rows of a check, the last of which says why if it ended early.

    Args:
        name: one of CHECKS.
        folder: for the check's files; must not exist.
    """
    folder.mkdir()
    arguments = [name, json.dumps(dataclasses.asdict(target)), str(folder)]
    command = [sys.executable, "-m", "bench.gpu._process", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdout=sys.stderr, start_new_session=True)
    try:
        exit_code = process.wait(timeout)
        problem = f"the process ended with exit code {exit_code}" if exit_code else ""
    except subprocess.TimeoutExpired:
        problem = f"did not end within {timeout:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):  # nothing of it is left
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    rows = read_rows(folder)
    if problem:
        rows.append(Row(name, problem, "ends by itself", "FAILED"))
    return rows


def read_rows(folder: Path) -> list[Row]:
    """Return the rows that a check has written so far."""
    path = _get_rows_file(folder)
    lines = path.read_text().splitlines() if path.exists() else []
    return [Row(*json.loads(line)) for line in lines]


def write_rows(name: str, target: Target, folder: Path) -> None:
    """Run a check in this process, and write each row at once.

    An exception becomes a row that says FAILED; its traceback is printed.
    """
    check = importlib.import_module(f"bench.gpu.{name}")
    with _get_rows_file(folder).open("w", buffering=1) as file:
        try:
            for row in check.measure(target, folder):
                file.write(json.dumps(row) + "\n")
        except Exception as error:
            traceback.print_exc()
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            file.write(json.dumps(Row(name, reason, "no exception", "FAILED")) + "\n")


def _get_rows_file(folder: Path) -> Path:
    return folder / "rows.jsonl"


if __name__ == "__main__":
    check_name, target_json, check_folder = sys.argv[1:]
    settings = json.loads(target_json)
    lists = {name: tuple(settings.pop(name)) for name in ("devices", "overrides")}
    write_rows(check_name, Target(**settings, **lists), Path(check_folder))
    sys.stderr.flush()
    os._exit(0)  # threads of tf.data that call Python may hang where Python ends
