"""Starting probes (imgcls/probe.py), and telling them what to do. Light zone."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from imgcls.errors import UserError

SHARING = {"TF_FORCE_GPU_ALLOW_GROWTH": "true"}
"""Several probes live at once: none may take a GPU's whole memory, as TensorFlow does by itself."""


@contextlib.contextmanager
def probe(experiment: Path, folder: Path, *workers: str | int, variables: dict[str, str] | None = None) -> Iterator[Callable[[str], Any]]:
    """Start a probe, which ends with the block; yield the function that sends it a line and returns its answer.

    Args:
        folder: of its run; must be new.
        workers: `host:port,...` and the rank, where it is one of several.
        variables: environment variables that it gets besides this process's.

    Raises:
        UserError: the process ended; its last words are the message.
    """
    command = [sys.executable, "-m", "imgcls.probe", *map(str, (experiment, folder, *workers))]
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **SHARING, **(variables or {})},
        )

        def tell(line: str) -> Any:
            """Send a line to the process; return its answer, a JSON value.

            Raises:
                UserError: it ended.
            """
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(line + "\n")
                process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                process.wait()
                errors.seek(0)
                words = errors.read().strip().splitlines() or [f"status {process.returncode}"]
                raise UserError(f"a training process for {experiment.stem} ended: {words[-1]}")
            return json.loads(answer)

        try:
            yield tell
        finally:
            process.kill()
            process.communicate()
